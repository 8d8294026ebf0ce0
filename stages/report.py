"""What people read, from committed figures alone: the comparison with its picture, and the model card."""

from pathlib import Path

from stages.running import run


def main() -> None:
    from cxr_distill.base.files import file_sha256, write_bytes
    from cxr_distill.report.card import model_card
    from cxr_distill.report.committed import read_committed
    from cxr_distill.report.comparison import comparison_picture, comparison_report
    from cxr_distill.screen.session import load_model

    evaluation = read_committed(Path("reports/evaluation.json"))
    released = {name: Path("release") / name for name in ("cxr-distill.onnx", "cxr-distill-int8.onnx")}
    report = comparison_report(evaluation)
    card = model_card(
        {name: file_sha256(file) for name, file in released.items()},
        load_model(released["cxr-distill.onnx"]).facts,
        evaluation=evaluation,
        checked=read_committed(Path("reports/release.json")),
    )
    write_bytes(Path("reports/comparison.md"), report.encode())
    write_bytes(Path("reports/comparison.png"), comparison_picture(evaluation, Path("plots/roc.csv")))
    write_bytes(Path("release/MODEL_CARD.md"), card.encode())
    print(report)


if __name__ == "__main__":
    run(main)
