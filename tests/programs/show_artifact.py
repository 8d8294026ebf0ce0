"""Prints the path of the released model in the repository argv[1]."""

import sys

import dvc.api

print(dvc.api.artifacts_show("cxr-distill", version="v0.1.0", repo=sys.argv[1])["path"])
