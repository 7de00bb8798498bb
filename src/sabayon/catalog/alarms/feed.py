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
TIMEOUT_S = 30


def main(args: dict[str, Any]) -> dict[str, Any]:
    """The provider's answer, under `error` when it is one."""
    verb = VERBS.get(str(args.get("lifecycleEvent")))
    if verb is None:
        return {"error": "unsupported lifecycleEvent"}
    trigger = args.get("triggerName")
    if not trigger:
        return {"error": {"error": "no trigger name parameter was provided"}}
    namespace, _, name = str(trigger).strip("/").rpartition("/")
    given = {key: value for key, value in args.items() if key not in NOT_FOR_PROVIDER}
    credentials = base64.b64encode(str(args.get("authKey", "")).encode()).decode()
    request = urllib.request.Request(
        f"{os.environ['__OW_API_HOST']}/provider/alarms/v1/triggers/{segment(namespace or '_')}/{segment(name)}",
        method=verb,
        data=json.dumps(given).encode() if verb in ("POST", "PUT") else None,
        headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return dict(json.load(response))
    except urllib.error.HTTPError as error:
        with error:
            return {"error": explained(error)}
    except (OSError, ValueError) as error:
        return {"error": {"error": f"the alarms provider cannot be reached: {error}"}}


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe="")


def explained(error: urllib.error.HTTPError) -> Any:
    """What the provider says of a refusal."""
    try:
        return json.load(error)
    except ValueError:
        return {"error": f"the alarms provider answers with HTTP {error.code}"}
