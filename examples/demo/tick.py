import datetime


def main(args):
    now = datetime.datetime.now(datetime.UTC)
    print(f"tick at {now:%H:%M:%S}")
    return {"at": now.isoformat()}
