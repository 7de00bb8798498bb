"""Feed action of the alarms package: hands the events in a trigger's life to the alarms provider.

The three feeds share this code; the parameters bound to `once` and `interval` tell them apart.
"""

import base64
import json
import os
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

VERBS = {"CREATE": "POST", "READ": "GET", "UPDATE": "PUT", "DELETE": "DELETE"}
NOT_FOR_PROVIDER = ("lifecycleEvent", "triggerName", "authKey", "apihost", "endpoint", "bluemixServiceName")


def main(args: dict[str, Any]) -> Any:
    verb = VERBS.get(str(args.get("lifecycleEvent")))
    if verb is None:
        return {"error": "unsupported lifecycleEvent"}
    trigger = args.get("triggerName")
    if not trigger:
        return {"error": {"error": "no trigger name parameter was provided"}}
    namespace, _, name = str(trigger).strip("/").rpartition("/")
    path = f"/provider/alarms/v1/triggers/{quote(namespace or '_', safe='')}/{quote(name, safe='')}"
    given = {key: value for key, value in args.items() if key not in NOT_FOR_PROVIDER}
    request = urllib.request.Request(
        os.environ["__OW_API_HOST"] + path,
        method=verb,
        data=json.dumps(given).encode() if verb in ("POST", "PUT") else None,
        headers={
            "Authorization": "Basic " + base64.b64encode(str(args.get("authKey", "")).encode()).decode(),
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return {"error": json.load(error)}
    except OSError as error:
        return {"error": {"error": f"the alarms provider cannot be reached: {error}"}}
