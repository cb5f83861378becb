"""What the document says of the APIs as a whole, and of who may come in."""

from __future__ import annotations

from typing import Any, Final

ABOUT: Final = """\
A compute provider: data stays where it is, algorithms come to it.

**Signatures.** Calls of the Ocean API that need to know who asks carry an Ethereum address, a
`nonce` that is greater than any used before, and a `signature` (EIP-191 over the Keccak-256 hash
of a text; each call says which text). With an `expiry` the signature is one over typed data
(EIP-712) instead. A token in the header `AuthToken` takes the place of a signature.

**Parameters** of the Ocean API are read from the query if there is one, else from a JSON body,
whatever the method. They are described here where clients usually put them. Fields that are not
described are ignored. An empty text counts as absent.

**Errors** have a status of 4xx for what the caller can mend, with a text that says what is wrong.
429 says that there is too much at the moment, and 503 that a part of the provider's own (database,
engine, a chain's nodes, another provider) does not answer, or that it is about to stop: try again
after `Retry-After` seconds where the answer names them. 500 is a fault of this service; its
`requestId` is in the service's log. A path that there is not is 404, a method that a path does not
take is 405 with `Allow`.

**Request ids.** Each answer has `X-Request-Id`: the one that the request came with, or a new one.

Calls answer any origin (CORS), and those of the Ocean API paths with repeated slashes as well.
"""

SECURITY: Final[dict[str, Any]] = {
    "walletSignature": {
        "type": "apiKey",
        "in": "query",
        "name": "signature",
        "description": "A wallet's signature over the text that the call names, `0x` and 65 bytes"
        " in hexadecimal digits; in the body where the other parameters are.",
    },
    "authToken": {
        "type": "apiKey",
        "in": "header",
        "name": "AuthToken",
        "description": "A token of `createAuthToken`, instead of a signature.",
    },
    "bearerKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of this API, as its operator gave it out.",
    },
    "passwordKey": {
        "type": "http",
        "scheme": "basic",
        "description": "A key of this API as the password; any user name.",
    },
    "headerKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Api-Key",
        "description": "A key of this API.",
    },
    "metricsToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token of METRICS_TOKEN_FILE, where the operator demands one.",
    },
    "userAccessKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Access-Key",
        "description": "The access key of a user, with its secret key in `X-Secret-Key`.",
    },
    "userSecretKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Secret-Key",
        "description": "The secret key of the user of `X-Access-Key`.",
    },
}
