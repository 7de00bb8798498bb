def main(args):
    return {"words": args.get("text", "").split()}
