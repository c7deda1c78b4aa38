"""What an update of a profile may change, whatever is sent."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.public import ProfileUpdate
from services.auth.models import users
from services.auth.profiles import changes

SENT = ("userID", "zip", "ownership", "electricCompany", "budget", "appliances")
FORBIDDEN = {"userID", "suggestedBudget", "createdAt", "updatedAt", "profileVersion"}
values = st.sampled_from([None, True, -1, 0.5, "", "hacked", [], ["Window AC"], {}, {"zip": "90210"}])
OURS = [column.name for column in users.columns if column.name not in SENT]


@settings(max_examples=50)
@given(values, st.dictionaries(st.text(max_size=10).filter(lambda name: name not in SENT), values, max_size=3))
def test_members_that_are_not_the_apps_change_nothing(of_ours: Any, others: dict[str, Any]) -> None:
    extra = {**dict.fromkeys(OURS, of_ours), **others}
    update = {"userID": "someone@example.com", "zip": "15213"}
    assert changes(ProfileUpdate.model_validate_json(json.dumps(extra | update))) == {"zipCode": "15213"}


@given(st.dictionaries(st.sampled_from(SENT[1:-1]), st.text(max_size=16)), st.lists(st.text(max_size=20), max_size=3))
def test_only_what_a_person_may_change_is_ever_changed(fields: dict[str, str], appliances: list[str]) -> None:
    update = ProfileUpdate.model_validate({"userID": "x", "appliances": appliances, **fields})
    changed = changes(update).keys()
    assert not changed & FORBIDDEN
    assert changed <= {column.name for column in users.columns}
