"""What a channel, a group, an override and an API key must be: pure checks that find every fault at once, by field.

The law: `admit_…` takes what a caller sent, notes every fault under its path (counted as the caller counted) and answers what
will be stored: trimmed, in one spelling, without repeats. The answer is good when no fault was noted; `Faults.refuse_any`
tells. What depends on other rows (which groups exist) comes in as an argument. Where a URL points to is the operator's
business; that it is a URL is ours.
"""

from admin_svc.rules.api_keys import admit_api_key
from admin_svc.rules.changes import changed_channel, changed_channel_key, judged_with, sends_keys_elsewhere
from admin_svc.rules.channels import admit_channel, admit_channel_key, admit_secrets
from admin_svc.rules.faults import Faults, at, together
from admin_svc.rules.groups import admit_group, admit_override
from admin_svc.rules.mass_change import admit_mass_change
from admin_svc.rules.shaping import Proxy, admit_proxy

__all__ = [
    "Faults",
    "Proxy",
    "admit_api_key",
    "admit_channel",
    "admit_channel_key",
    "admit_group",
    "admit_mass_change",
    "admit_override",
    "admit_proxy",
    "admit_secrets",
    "at",
    "changed_channel",
    "changed_channel_key",
    "judged_with",
    "sends_keys_elsewhere",
    "together",
]
