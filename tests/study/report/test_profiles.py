"""The verdicts of a study's profiles side by side."""

from pathlib import Path

import pytest

from noiseproof.results.store import export
from noiseproof.study import Study, grid_of, read_study
from noiseproof.study.facts import write_facts
from noiseproof.study.folder import EXPORTED, FACTS
from noiseproof.study.profiles import Profile
from noiseproof.study.report import StudyReport, document_of, report_of
from noiseproof.study.report.markdown import markdown_of
from noiseproof.study.report.page import page_of
from noiseproof.study.report.profiles import profiles_sentence, profiles_table
from noiseproof.study.wanted import Task
from tests.cli.program import run_main
from tests.study.report.answers import COMMAND, Hits, apart, results, study_of

QUESTION = "none against batch"
SENTENCE = (
    "The verdicts of the profiles differ: quick: reproduced (n = 3 trainings a side; resnet8); "
    "depth: contradicted (n = 2 trainings a side; vgg11)."
)


def turned(task: Task, level: float, chip: int) -> float:
    """batch as none, none as batch."""
    means = {"batch": (0.9, 0.8), "none": (0.8, 0.4)}[task.network.norm_text]
    return means[level > 0.2] + 0.001 * task.network.seed


def two_profiles() -> Study:
    """`quick`, and `depth`: another model, two seeds, a question of its own beside the shared."""
    quick = study_of().model_dump(exclude_unset=True)
    [trainings] = quick["profiles"]["quick"]["trainings"]
    own = {"question": "only at depth", "order": [{"norm": "none"}, {"norm": "batch"}]}
    depth = quick["profiles"]["quick"] | {
        "trainings": [trainings | {"model": "vgg11", "seed": [0, 1]}],
        "comparisons": [*quick["comparisons"], own | {"by": ["targets"]}],
    }
    return Study.model_validate(quick | {"profiles": quick["profiles"] | {"depth": depth}})


def profile(study: Study, name: str, hits: Hits, *, chips: int = 2) -> Profile:
    grid = grid_of(study, name)
    facts, rows = results(grid, hits, chips=chips)
    comparisons = study.comparisons_of(name)
    return Profile(name=name, grid=grid, comparisons=comparisons, facts=facts, rows=tuple(rows))


def told(study: Study, name: str, hits: Hits, *others: Profile) -> StudyReport:
    own = profile(study, name, hits)
    return report_of(study, name, own.grid, own.facts, own.rows, command=COMMAND, others=others)


def test_profiles_that_differ_are_marked_in_every_form_of_the_report() -> None:
    study = two_profiles()
    report = told(study, "quick", apart, profile(study, "depth", turned))
    table = profiles_table(report)
    assert table is not None
    assert table.heads == ("question", "quick: resnet8", "depth: vgg11", "")
    claim, question = table.rows
    assert claim[0] == "the claim"
    assert question == (
        QUESTION,
        "reproduced: it holds in all 2 cases; n = 3 trainings a side",
        "contradicted: the opposite is found in all 2 cases; n = 2 trainings a side",
        "differ",
    )
    assert profiles_sentence(report) == SENTENCE
    page, text = page_of(report), markdown_of(report)
    assert page.index(SENTENCE) < page.index("<h2>"), "on the first screen"
    assert text.index(f"**{SENTENCE}**") < text.index("## ")
    [other] = document_of(report)["other_profiles"]
    assert (other["profile"], other["verdict"]["kind"]) == ("depth", "contradicted")
    assert [one["kind"] for one in other["comparisons"]] == ["contradicted"] * 2


def test_a_question_that_one_profile_asks_alone_is_not_asked_of_the_other() -> None:
    study = two_profiles()
    report = told(study, "depth", apart, profile(study, "quick", apart))
    table = profiles_table(report)
    assert table is not None
    assert table.heads[1:3] == ("quick: resnet8", "depth: vgg11"), "in the order of the file"
    assert [row[-1] for row in table.rows] == ["alike", "alike", ""]
    assert table.rows[2][1] == "not asked"
    assert profiles_sentence(report).startswith("The profiles side by side: quick: reproduced")


def test_what_is_not_measured_does_not_differ_and_what_is_not_finished_says_so() -> None:
    study = two_profiles()
    report = told(study, "quick", apart, profile(study, "depth", turned, chips=1))
    table = profiles_table(report)
    assert table is not None
    assert {row[-1] for row in table.rows} == {""}
    assert "depth: not measured (n = 0 trainings a side; vgg11, unfinished)" in profiles_sentence(
        report
    )


def test_a_single_profile_says_nothing_of_profiles() -> None:
    report = told(two_profiles(), "quick", apart)
    assert profiles_table(report) is None
    assert profiles_sentence(report) == ""
    assert "profiles" not in page_of(report)
    assert "profiles" not in markdown_of(report)
    assert document_of(report)["other_profiles"] == []


STUDY = """
name = "toy"
title = "Toy"
data = "digits"
claim = { text = "It holds.", source = "A paper" }
[[comparisons]]
question = "none against batch"
order = [{ norm = "none" }, { norm = "batch" }]
by = ["targets"]
"""
PROFILE = """
[profiles.NAME]
about = "seconds"
[[profiles.NAME.trainings]]
model = "MODEL"
norm = ["batch", "none"]
seed = [0, 1, 2]
[[profiles.NAME.measurements]]
levels = [0.1, 0.3]
targets = ["kernel", "kernel,bias"]
design = "chips"
chips = 2
"""


def test_the_command_finds_the_profiles_that_lie_in_the_studys_folder(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    parts = [("quick", "resnet8"), ("depth", "vgg11"), ("full", "vgg16")]
    text = "".join(PROFILE.replace("NAME", n).replace("MODEL", m) for n, m in parts)
    file = tmp_path / "study.toml"
    file.write_text(STUDY + text)
    for name, hits in (("quick", apart), ("depth", turned)):
        (tmp_path / name).mkdir()
        found = profile(read_study(file), name, hits)
        export(list(found.rows), tmp_path / name / EXPORTED)
        write_facts(found.facts, tmp_path / name / FACTS)
    for name in ("quick", "depth"):
        assert run_main("study", "report", file, "--profile", name, "--out", tmp_path / name) == 0
        text = (tmp_path / name / "report.md").read_text()
        assert SENTENCE.replace("n = 2", "n = 3") in text
        assert "full" not in text
