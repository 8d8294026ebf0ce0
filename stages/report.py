"""What people read, from committed figures alone: the comparison with its picture, and the model card."""

from pathlib import Path

from stages.running import run


def main() -> None:
    from cxr_distill.base.files import write_bytes
    from cxr_distill.report.card import model_card
    from cxr_distill.report.committed import read_committed
    from cxr_distill.report.comparison import comparison_picture, comparison_report

    evaluation = read_committed(Path("reports/evaluation.json"))
    report = comparison_report(evaluation)
    card = model_card(evaluation, read_committed(Path("reports/release.json")))
    write_bytes(Path("reports/comparison.md"), report.encode())
    write_bytes(Path("reports/comparison.png"), comparison_picture(evaluation))
    write_bytes(Path("release/MODEL_CARD.md"), card.encode())
    print(report)


if __name__ == "__main__":
    run(main)
