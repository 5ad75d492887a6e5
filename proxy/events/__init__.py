"""What happened, as frozen facts, and who may hear of it. Never a secret, never a path with its query.

Times are in seconds, sizes in bytes, timestamps in seconds since the epoch. Nothing else of ours is imported.
"""

from __future__ import annotations

from proxy.events.accounts import (
    AccountRemoved,
    AdsAccountsFailed,
    AdsAccountsListed,
    ConsentEnded,
    ConsentEnding,
    ConsentRecorded,
    CredentialStateChanged,
    DefaultProfileChanged,
    InvitationMade,
    InvitationUsed,
    ProfilesFailed,
    ProfilesListed,
    RefreshCause,
    RefreshFailed,
    RefreshTokenLost,
    RefreshTokenReplaced,
    SignInNeeded,
    StoredTokenDamaged,
    TokenRefreshed,
    TokenTakenOver,
    TokenUnpersisted,
)
from proxy.events.program import (
    ConfigReloaded,
    DefectMet,
    DrainStarted,
    ServerStarted,
    ServerStopped,
    SignInFinished,
    SignInOutcome,
)
from proxy.events.requests import (
    UNKNOWN,
    AmazonThrottled,
    FamilyHeldBack,
    Fault,
    Replayed,
    RequestFinished,
    RequestStarted,
)
from proxy.events.root import (
    Event,
    Observer,
    Observers,
)

__all__ = [
    "UNKNOWN",
    "AccountRemoved",
    "AdsAccountsFailed",
    "AdsAccountsListed",
    "AmazonThrottled",
    "ConfigReloaded",
    "ConsentEnded",
    "ConsentEnding",
    "ConsentRecorded",
    "CredentialStateChanged",
    "DefaultProfileChanged",
    "DefectMet",
    "DrainStarted",
    "Event",
    "FamilyHeldBack",
    "Fault",
    "InvitationMade",
    "InvitationUsed",
    "Observer",
    "Observers",
    "ProfilesFailed",
    "ProfilesListed",
    "RefreshCause",
    "RefreshFailed",
    "RefreshTokenLost",
    "RefreshTokenReplaced",
    "Replayed",
    "RequestFinished",
    "RequestStarted",
    "ServerStarted",
    "ServerStopped",
    "SignInFinished",
    "SignInNeeded",
    "SignInOutcome",
    "StoredTokenDamaged",
    "TokenRefreshed",
    "TokenTakenOver",
    "TokenUnpersisted",
]
