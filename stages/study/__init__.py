"""One module per stage of study/dvc.yaml, run as `python -m stages.study.NAME` from the root."""
