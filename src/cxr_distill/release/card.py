"""The model card: what the released files are, for whom, how good, and where they fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr_distill.screen.facts import Facts

Tree = Mapping[str, Any]

CARD = """\
# Model card: cxr-distill
{warning}
A small network that gives an upright frontal chest X-ray a probability of pneumonia, on any computer, without the
image leaving it.

**Intended use:** research, teaching, and comparing methods of distillation. **Not intended:** diagnosis, triage, or any
decision about a patient. It is no medical device, and nobody has approved it as one.

## Files

`cxr-distill.onnx` ({fp32[megabytes]:.2f} MB, single precision) and `cxr-distill-int8.onnx` ({int8[megabytes]:.2f} MB,
convolutions in 8 bits): a student of {parameters:,} parameters, distilled from a larger teacher. What a program needs
to know is JSON under the key `cxr-distill` of each file's metadata.

Input `image`: float32 (B, {facts.image_size}, {facts.image_size}). {facts.preprocessing}.

| output | shape | meaning |
|---|---|---|
| `p_pneumonia` | (B,) | probability of pneumonia; {facts.threshold} and above is called pneumonia |
| `probabilities` | (B, 3) | {classes} |
| `p_calibrated` | (B,) | with temperature {facts.temperature}, fitted on validation films weighted as if normal and \
pneumonia were equally common |
| `activation` | (B, h, w) | class activation map of pneumonia against normal, in logits; its mean is their \
difference, but for terms that are the same all over the film |
| `typicality` | (B,) | how much the picture looks like an upright frontal chest film; below \
{facts.typicality_threshold:.4f} it is refused |

## Data

Kermany et al., *Cell* 172(5), 2018: children aged one to five, one hospital in Guangzhou, one label an image. Images:
{counts}, split by patient; the test split is the published one. Archive `{facts.dataset_sha256:.12}`, median image
{width[median]} x {height[median]} pixels; weights `{facts.weights_sha256:.12}`.

## How good

{test[n]} test images, threshold {facts.threshold}; 95% intervals from a bootstrap over patients.

| metric | value | low | high |
|---|---|---|---|
{figures}

Expected calibration error on test: {calibration[ece]:.3f} as it is, {calibration[ece_calibrated]:.3f} calibrated.

## Parity with PyTorch

On the test images, against the predictions that were evaluated.

| file | largest change of P | decisions changed | accuracy (change) | AUROC (change) |
|---|---|---|---|---|
{parity}

## What it refuses

The score knows upright training films and nothing else; its threshold comes from validation films. Pictures of some
kinds were looked at while the score was chosen, those of the others never. All are drawn, or made from test films.

| pictures | looked at while choosing | refused |
|---|---|---|
| **test films, upright** | no | {refused[test]:.1%} |
| **other pictures, all kinds alike** | | {refused[strangers_mean]:.1%} |
| **those of unseen kinds** | no | {refused[strangers_unseen_mean]:.1%} |
{strangers}

A lateral film, a film of another part of the body that fills the frame like a chest, or a mirrored film may pass.

## Limits

- Children of one hospital. Models trained on this set are reported at AUROC 0.54 to 0.56 on adults elsewhere
  ([10.1007/s10140-021-01954-x](https://doi.org/10.1007/s10140-021-01954-x)).
- The shape of the film leaks the label in this set, and squashing keeps it as distortion: no figure here shows that the
  network looks at the lungs, and the activation map is no proof of it either.
- The test split's share of pneumonia is no clinic's: choose an operating point on your own patients.
- It knows normal lungs and pneumonia. Whatever else is on a film gets one of these two names.

## Licence

Code and models: {facts.licence}. The images they were made from: Kermany, Zhang, Goldbaum, *Labeled Optical Coherence
Tomography (OCT) and Chest X-Ray Images for Classification*, Mendeley Data,
[10.17632/rscbjbr9sj](https://doi.org/10.17632/rscbjbr9sj), CC BY 4.0.
"""
SYNTHETIC = "\n**SYNTHETIC: made from drawn chests. It says nothing about X-rays.**\n"


def model_card(facts: Facts, evaluation: Tree, dataset: Tree, release: Tree, *, synthetic: bool) -> str:
    """Markdown from the metrics of the distilled student, of the data set and of the release."""
    test, refused = evaluation["test"], release["refused"]
    intervals = test["ci95"].items()
    return CARD.format(
        warning=SYNTHETIC if synthetic else "",
        facts=facts,
        classes=", ".join(facts.classes),
        parameters=evaluation["parameters"],
        counts=", ".join(f"{split['images']:,} {name}" for name, split in dataset["splits"].items()),
        width=dataset["width"],
        height=dataset["height"],
        test=test,
        figures="\n".join(
            f"| {_name(m)} | {test[m]:.3f} | {ci['low']:.3f} | {ci['high']:.3f} |" for m, ci in intervals
        ),
        parity="\n".join(_parity(name, release[name]) for name in ("fp32", "int8")),
        strangers="\n".join(
            f"| {kind} | {seen} | {share:.1%} |"
            for part, seen in (("strangers", "yes"), ("strangers_unseen", "no"))
            for kind, share in refused[part].items()
        ),
        **release,
    )


def _name(metric: str) -> str:
    return "AUROC" if metric == "auroc" else metric


def _parity(name: str, figures: Tree) -> str:
    accuracy, auroc = (f"{figures[m]:.4f} ({figures[f'{m}_change']:+.4f})" for m in ("accuracy", "auroc"))
    return f"| {name} | {figures['largest_change']:.1e} | {figures['decisions_changed']} | {accuracy} | {auroc} |"
