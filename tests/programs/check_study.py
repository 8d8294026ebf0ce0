"""In a checkout, says why its study does not hold; nothing if it does."""

import sys

sys.path.insert(0, ".ci")

from locks import ROOT, Refused, lock_in
from study_lock import check_study

try:
    check_study("HEAD", lock_in(ROOT), [])
except Refused as refused:
    print(f"{refused.headline}: {refused}")
