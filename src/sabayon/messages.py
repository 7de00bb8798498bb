"""Every sentence a client can read on the wire.

They are a compatibility artefact: clients and test suites match on them, down to the
misspelt ones. Constants are whole sentences, functions fill in the variable parts.
"""

from __future__ import annotations

from collections.abc import Iterable

# Framework texts
MALFORMED_CONTENT = "The request content was malformed:\n"
MALFORMED_QUERY_STRING = "The request content was malformed:\nThe request's query string is invalid."
NO_ROUTE = "The requested resource could not be found."
AUTHENTICATION_REQUIRED = "The resource requires authentication, which was not supplied with the request"
AUTHENTICATION_INVALID = "The supplied authentication is invalid"
NOT_ACCEPTABLE = "Resource representation is only available with these types:\napplication/json"
BODY_TIMEOUT = "Request timed out after 30 seconds while waiting for entity data"
HANDLER_TIMEOUT = (
    "The server was not able to produce a timely response to your request.\r\nPlease try again in a short while!"
)
URI_TOO_LONG = "URI length exceeds the configured limit of {limit} characters"

# Defaults by status
BAD_REQUEST = "The request contains bad syntax or cannot be fulfilled."
NOT_FOUND = "The requested resource does not exist."
TOO_LARGE = "The request content is larger than the server is willing or able to process."
INTERNAL_ERROR = "There was an internal server error."
UNAVAILABLE = "The server is currently unavailable (because it is overloaded or down for maintenance)."

# Names, identifiers, query parameters
NAMESPACE_ILLEGAL = "The namespace contains illegal characters."
NAME_ILLEGAL = "The name of the entity contains illegal characters."
ACTIVATION_ID_ILLEGAL = "The activation id is not valid."
NAME_NOT_QUALIFIED = (
    "requirement failed: The fully qualified name of the entity must contain at least the namespace and the name "
    "of the entity."
)
NAME_MALFORMED = "fully qualified name malformed"
SEGMENT_MALFORMED = "entity name malformed"
VERSION_MALFORMED = "semantic version malformed"
TIMEOUT_OUT_OF_RANGE = "Timeout must be number of milliseconds up to 60000."
DOCS_WITH_COUNT = "The parameter 'docs' is not permitted with 'count'."
LIMITS_INNER_ROUTE = "Inner entity level routes for limits are not yet implemented."

# Bodies
OBJECT_EXPECTED = "JSON object expected"
PARAMETERS_MALFORMED = "parameters malformed!"
EXEC_UNDEFINED = "exec undefined"
KIND_NOT_STRING = "'kind' must be a string defined in 'exec'"
IMAGE_NOT_STRING = "'image' must be a string defined in 'exec' for 'blackbox' actions"
IMAGE_MALFORMED = "could not parse image name"
COMPONENTS_MISSING = "'components' must be defined for sequence kind"
COMPONENTS_NOT_ARRAY = "'components' must be an array"
NEGATIVE_SIZE = "requirement failed: a negative size of an object is not allowed."
NEGATIVE_INSTANCES = "requirement failed: Action container concurrency must be greater than or equal to 0."

# Entities
ALREADY_EXISTS = "resource already exists"
WRONG_COLLECTION = "Resource by this name exists but is not in this collection."
CONCURRENT_MODIFICATION = "Concurrent modification to resource detected."
CORRUPT = "Resource is corrupted and cannot be read."
PARAMETERS_NOT_ALLOWED = "Request defines parameters that are not allowed (e.g., reserved properties)."
SEQUENCE_TOO_LONG = "Too many actions in the sequence."
SEQUENCE_EMPTY = "No component specified for the sequence."
SEQUENCE_CYCLIC = "Sequence may not refer to itself."
SEQUENCE_COMPONENT_MISSING = "Sequence component does not exist."
SEQUENCE_FAILED = "Sequence failed."
COMPOSITION_TOO_LONG = "Too many actions in the composition."
COMPOSITION_ACTIVATION_FAILED = "Activation failure during composition."
NOT_ON_BINDING = "Operation not permitted on package binding."
PACKAGE_RESERVED = "Package name 'default' is reserved."
BINDING_TARGET_MISSING = "Binding references a package that does not exist."
BINDING_TARGET_IS_BINDING = "Cannot bind to another package binding."
BINDING_TARGET_NOT_PACKAGE = "Cannot bind to a resource that is not a package."
PACKAGE_NOT_CONVERTIBLE = "Resource is a package and cannot be converted into a binding."
FEED_NAME_INVALID = "Feed name is not valid"
RULE_INCOMPLETE = "rule requires a valid trigger and a valid action"
RULE_WITHOUT_TRIGGER = "Only rules with existing triggers can be activated"

# Idempotency keys and cancelling
KEY_MALFORMED = "The Idempotency-Key must have 1 to 255 bytes and no control characters."
KEY_OF_ANOTHER_REQUEST = "The Idempotency-Key was used for another request: its payload or its options differ."
KEY_WITHOUT_RECORDS = "The Idempotency-Key cannot be honoured: this namespace keeps no activation records."
ALREADY_FINISHED = "The activation has finished already."

# Activation results
INIT_DIED = "The action did not initialize and exited unexpectedly."
RUN_DIED = "The action did not produce a valid response and exited unexpectedly."
OUT_OF_MEMORY = "The action exhausted its memory and was aborted."
NO_RESOURCES = "Failed to provision resources to run the action."
ACTION_REMOVED = "Action could not be found or may have been deleted."
ACTION_CHANGED = "Action version is not compatible and cannot be invoked."
ACTION_NOT_FETCHED = "Action could not be fetched."
INVOKER_LOST = "The invoker that ran the action was lost before it could say how it ended."
INTERRUPTED = "The platform stopped before the action finished."
CANCELLED = "The activation was cancelled."

# Delivery
OVERLOADED = "The server has too many activations in flight to accept another one. Please try again in a short while!"
DELAY_OUT_OF_RANGE = "Delay must be a whole number of seconds from 0 to 86400."
DELAY_BLOCKING = "A blocking invocation cannot have a delay."
DELAY_WITHOUT_RECORDS = "An invocation cannot have a delay in a namespace that keeps no activation records."
RETRY_WITHOUT_RECORDS = "A dead letter cannot be retried in a namespace that keeps no activation records."
DEAD_LETTER_NOT_FOUND = "There is no dead letter with this id."

# Log lines
LOGS_MAY_BE_MISSING = "The action did not initialize or run as expected. Log data might be missing."


def namespace_too_long(length: int) -> str:
    return f"Namespace longer than allowed: {length} > 256."


def name_too_long(length: int) -> str:
    """The misspelling is the contract's."""
    return f"Name segement longer than allowed: {length} > 256."


def activation_id_length(length: int) -> str:
    return f"Activation id length is {length} but must be 32."


def malformed_query(name: str, detail: str) -> str:
    return f"The query parameter '{name}' was malformed:\n{detail}"


def not_boolean(value: str) -> str:
    return f"'{value.lower()}' is not a valid Boolean value"


def not_integer(value: str, collection: str) -> str:
    return f"The value '{value}' is not an integer for {collection}."


def limit_out_of_range(value: str, collection: str, maximum: int) -> str:
    return f"The value '{value}' is not in the range of 0 to {maximum} for {collection}."


def skip_out_of_range(value: str, collection: str) -> str:
    return f"The value '{value}' is not greater than or equal to 0 for {collection}."


def not_epoch(value: str) -> str:
    return f"Parameter is not a valid value for epoch seconds: {value}"


def not_name_filter(value: str) -> str:
    return f"Parameter may be a 'simple' name or 'package-name/simple' name: {value}"


def content_type_not_supported(content_type: str) -> str:
    return f"The request's Content-Type [{content_type}] is not supported. Expected:\napplication/json"


def method_not_allowed(allowed: str) -> str:
    return f"HTTP method not allowed, supported methods: {allowed}"


def too_large(what: str, actual: int, allowed: int) -> str:
    """`what` is `exec`, `parameters`, `annotations` or `Request`; sizes in bytes."""
    return f"{what} larger than allowed: {actual} > {allowed} bytes."


def not_authorized(resources: Iterable[str]) -> str:
    return f"The supplied authentication is not authorized to access '{', '.join(sorted(resources))}'."


def get_foreign_action(package: str) -> str:
    return f"GET not permitted for '{package}' since it's an action in a shared package"


def get_bound_action(action: str) -> str:
    return f"GET not permitted for '{action}'. Resource does not exist or is an action in a shared package binding."


def get_foreign_package(package: str) -> str:
    return f"GET not permitted for '{package}' since it's a shared package"


def get_foreign_binding(binding: str) -> str:
    return f"GET not permitted since {binding} is a binding of a shared package"


def kind_not_authorized(kind: str) -> str:
    return f"The supplied authentication is not authorized to access actions of kind '{kind}'."


def named_not_found(name: str) -> str:
    return f"The requested resource '{name}' does not exist."


def circular_binding(name: str) -> str:
    return f"Package binding '{name}' contains a circular reference."


def rate_exceeded(count: int, allowed: int) -> str:
    return f"Too many requests in the last minute (count: {count}, allowed: {allowed})."


def concurrency_exceeded(count: int, allowed: int) -> str:
    return f"Too many concurrent requests in flight (count: {count}, allowed: {allowed})."


def kind_unknown(kind: str, kinds: Iterable[str]) -> str:
    valid = ", ".join(f"'{k}'" for k in kinds)
    return f"The specified runtime '{kind}' is not supported by this platform. Valid values are: {valid}"


def kind_deprecated(kind: str) -> str:
    return f"The '{kind}' runtime is no longer supported. You may read and delete but not update or invoke this action."


def code_missing(kind: str) -> str:
    return f"'code' must be a string or attachment object defined in 'exec' for '{kind}' actions"


def main_required(kind: str) -> str:
    return f"'main' must be a string defined in 'exec' for '{kind}' actions"


def main_not_string(kind: str) -> str:
    return f"if defined, 'main' be a string in 'exec' for '{kind}' actions"


def instances_exceed(allowed: int) -> str:
    return f"Max action instance concurrency must not exceed your namespace concurrency of {allowed}."


def package_not_empty(count: int) -> str:
    noun = "entity" if count == 1 else "entities"
    return f"Package not empty (contains {count} {noun}). Set force param or delete package contents."


def init_failed(body: str) -> str:
    return f"The action failed during initialization: {body}" if body else "The action failed during initialization."


def invalid_response(body: str) -> str:
    text = "The action did not produce a valid JSON or JSON Array response"
    return f"{text}: {body}" if body else f"{text}."


def time_exceeded(limit_ms: int, *, during_init: bool) -> str:
    suffix = " during initialization" if during_init else ""
    return f"The action exceeded its time limits of {limit_ms} milliseconds{suffix}."


def response_truncated(length: int, allowed: int, prefix: str) -> str:
    return (
        f"The action produced a response that exceeded the allowed length: {length} > {allowed} bytes. "
        f"The truncated response was: {prefix}"
    )


def logs_truncated(limit_bytes: int) -> str:
    return f"Logs were truncated because the total bytes size exceeds the limit of {limit_bytes} bytes."


def policy_malformed(detail: str) -> str:
    """`detail` says which annotation, and what it may be."""
    return f"The annotations about delivery are not valid: {detail}."


def too_old(max_age_s: int) -> str:
    return f"The activation was not run within {max_age_s} seconds, the max-age of its action."


def rule_inactive(rule: str, action: str) -> str:
    return f"Rule '{rule}' is inactive, action '{action}' was not activated."


def rule_reference_missing(what: str, name: str) -> str:
    """`what` is `trigger` or `action`; `name` is absolute, with its leading slash."""
    return f"{what} {name} does not exist"


def rule_reference_corrupt(what: str, name: str) -> str:
    """See `rule_reference_missing`."""
    return f"{what} {name} is corrupted"


def sequence_component_timeout(activation_id: str) -> str:
    return f"Timeout reached when retrieving activation {activation_id} for sequence component."


def composition_timeout(activation_id: str) -> str:
    return f"Timeout reached when retrieving activation {activation_id} during composition."


def composition_name_malformed(json_text: str) -> str:
    return f"Failed to parse action name from json value {json_text} during composition."


def composition_name_unresolved(name: str) -> str:
    return f"Failed to resolve action with name '{name}' during composition."


def composition_not_entitled(name: str) -> str:
    return f"Failed entitlement check for action with name '{name}' during composition."


def image_not_pulled(image: str) -> str:
    return f"Failed to pull container image '{image}'."
