"""The small dataset files of the tests of datasets."""

from made_datasets import make_episode, make_meta, three, three_bytes, write_dataset  # noqa: F401  (fixtures)
