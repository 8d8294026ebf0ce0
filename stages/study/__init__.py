"""The stages of study/dvc.yaml, run as `python -m stages.study.NAME` from the repository's root."""
