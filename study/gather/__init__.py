"""From outputs that only DVC keeps to committed files: what every figure of the study is computed from."""
