"""Keys depend on the photo's name and the settings, on nothing else, and are safe names of files."""

from hypothesis import given
from hypothesis import strategies as st

from mvdiff.batch.keys import digest_of, is_key, key_of, settings_hash, shard_of

NAMES = st.text(min_size=1, max_size=300)


@given(NAMES)
def test_keys_are_safe_names(name: str) -> None:
    key = key_of(name, "s")
    assert is_key(key)
    assert "/" not in key
    assert not key.startswith(".")
    assert len(key) <= 61
    assert key == key_of(name, "s")
    assert len(digest_of(key)) == 10
    assert key.endswith(digest_of(key).hex())
    assert len(shard_of(key)) == 2


@given(st.lists(NAMES, min_size=2, max_size=30, unique=True))
def test_different_photos_have_different_keys(names: list[str]) -> None:
    assert len({digest_of(key_of(name, "s")) for name in names}) == len(names)


@given(NAMES, st.dictionaries(st.text(max_size=5), st.integers(), min_size=1, max_size=5))
def test_other_settings_are_other_keys(name: str, settings: dict[str, int]) -> None:
    changed = {key: value + 1 for key, value in settings.items()}
    assert key_of(name, settings_hash(settings)) != key_of(name, settings_hash(changed))
    turned = dict(reversed(settings.items()))
    assert settings_hash(settings) == settings_hash(turned)


def test_keys_of_old_batches_stay() -> None:
    assert key_of("chairs/red chair.jpg", settings_hash({"seed": 0})) == "red-chair-3840c9f69d704dfa1062"
