"""What an update of a profile may change, whatever is sent."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.public import ProfileUpdate
from services.auth.models import users
from services.auth.profiles import changes

SENT = ("userID", "zip", "ownership", "electricCompany", "budget", "appliances")
FORBIDDEN = {"userID", "suggestedBudget", "createdAt", "updatedAt", "profileVersion"}
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
names = st.sampled_from([column.name for column in users.columns]) | st.text(max_size=20)


@given(st.dictionaries(names.filter(lambda name: name not in SENT), values, max_size=8))
def test_members_that_are_not_the_apps_change_nothing(extra: dict[str, Any]) -> None:
    update = {"userID": "someone@example.com", "zip": "15213"}
    assert changes(ProfileUpdate.model_validate_json(json.dumps(extra | update))) == {"zipCode": "15213"}


@given(st.dictionaries(st.sampled_from(SENT[1:-1]), st.text(max_size=16)), st.lists(st.text(max_size=20), max_size=3))
def test_only_what_a_person_may_change_is_ever_changed(fields: dict[str, str], appliances: list[str]) -> None:
    update = ProfileUpdate.model_validate({"userID": "x", "appliances": appliances, **fields})
    changed = changes(update).keys()
    assert not changed & FORBIDDEN
    assert changed <= {column.name for column in users.columns}
