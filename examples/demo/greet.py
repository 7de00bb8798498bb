def main(args):
    name = args.get("name", "stranger")
    place = args.get("place", "nowhere")
    print(f"greeting {name}")
    return {"greeting": f"Hello, {name} from {place}!"}
