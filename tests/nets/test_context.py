from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from epistem.atoms.context import VARIABLES, AtomContext  # noqa: E402
from epistem.atoms.dataset import Described  # noqa: E402
from epistem.atoms.encode import encode  # noqa: E402
from epistem.atoms.kernels import Ring, shipped_bank  # noqa: E402
from epistem.atoms.learn import build, columns_of, posterior  # noqa: E402
from epistem.nets.context import KINDS, Together  # noqa: E402

RINGS = (Ring(40, 90), Ring(85, 250))
ALL = AtomContext("WSe2", ("Ti", "V"), 80.0, 30.0, RINGS, False, 0.3, 1e4)


def columns(context=ALL, n=5, seed=0, labelled=False, held=()):
    rng = np.random.default_rng(seed)
    given = len(context.rings)
    seen = Described(rng.standard_normal((n, given, 66)).astype(np.float32),
                     rng.standard_normal((n, given, 4)).astype(np.float32))  # fmt: skip
    patches = [rng.standard_normal((n, 32, 32)).astype(np.float32) for _ in range(given)]
    known = encode(context, shipped_bank())
    role = np.arange(n) % 6 if labelled else None
    element = known.allowed.argmax(axis=1)[role] if labelled else None
    return columns_of(seen, known, role, element, patches, held)


def answers(kind, field, seed=0):
    return build(kind, seed=seed).predict(field)


def same(first, second):
    return all(np.allclose(a, b, atol=2e-5) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_fields_is_answered_as_one_by_one(kind):
    fields = [columns(seed=1), columns(AtomContext("MoS2", None, 60.0, 30.0, RINGS[:1]), n=3, seed=2)]
    network = build(kind).eval()
    with torch.no_grad():
        together = [part.numpy() for part in network(fields)]
    apart = [np.concatenate(parts) for parts in zip(*map(network.predict, fields), strict=True)]
    assert same(together, apart)


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_a_batch_changes_no_answer(kind):
    field, network = columns(n=7), build(kind)
    assert same(network.predict(field, batch=3), network.predict(field))


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_value_has_no_part_in_the_answer(kind):
    unknown = columns(ALL.without(*VARIABLES))
    poisoned = unknown._replace(globals=torch.full_like(unknown.globals, 7.0))
    assert same(answers(kind, unknown), answers(kind, poisoned))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "image-only"])
@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_has_a_part_in_the_answer_where_it_is_known(kind, name):
    assert not same(answers(kind, columns()), answers(kind, columns(ALL.without(name))))


def test_the_image_only_network_has_the_same_answer_in_any_context():
    plain = answers("image-only", columns())
    for context in (ALL.without(*VARIABLES), AtomContext("MoTe2", None, 200.0, rings=RINGS), ALL.without("beam")):
        assert same(plain, answers("image-only", columns(context)))


def test_no_baseline_has_fewer_parameters():
    def size(kind):
        return sum(one.numel() for one in build(kind).parameters())

    assert size("image-only") == size("attention")
    assert all(1 <= size(kind) / size("attention") < 2.1 for kind in KINDS)


def test_a_detector_that_is_not_there_is_not_seen():
    field = columns(AtomContext("WSe2", None, 80.0, 30.0, RINGS[:1]))
    moments, scalars = field.moments.clone(), field.scalars.clone()
    moments[:, 1] = 5.0
    scalars[:, 1] = 5.0
    assert same(answers("attention", field), answers("attention", field._replace(moments=moments, scalars=scalars)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_image_shows_has_a_part_in_the_answer(kind):
    assert not same(answers(kind, columns(seed=1)), answers(kind, columns(seed=2)))


def test_elements_that_are_not_candidates_are_not_heard():
    field = columns()
    elements = field.elements.clone()
    elements[~field.present] += 3.0
    role, _, embedding = answers("attention", field._replace(elements=elements))
    assert np.allclose(role, answers("attention", field)[0], atol=2e-5)
    assert np.allclose(embedding, answers("attention", field)[2], atol=2e-5)


def test_columns_of_a_field_do_not_hear_each_other():
    field = columns(n=5)
    one = field._replace(moments=field.moments[2:3], scalars=field.scalars[2:3], patches=field.patches[2:3])
    assert same(answers("attention", one), [part[2:3] for part in answers("attention", field)])


def test_a_field_without_columns_has_no_answers():
    assert [len(part) for part in answers("attention", columns(n=0))] == [0, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_a_handful_of_columns(kind):
    fields = [columns(n=12, seed=seed, labelled=True) for seed in range(2)]
    network = build(kind).train()
    steps = torch.optim.Adam(network.parameters(), 3e-3)
    first = last = float("nan")
    for step in range(60):
        loss = network.losses(fields)["role"]
        steps.zero_grad()
        loss.backward()
        steps.step()
        first, last = (float(loss.detach()), last) if step == 0 else (first, float(loss.detach()))
    assert last < 0.3 * first


def test_the_element_is_learned_among_those_the_role_allows():
    field = columns(n=1, labelled=True)
    loss = build().losses([field])["element"]
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)  # W is the only metal of WSe2


def test_what_is_held_out_from_a_network_does_not_train_it():
    both = Together({"all": build(), "some": build()}, {"some": 0})
    losses = both.losses([columns(n=6, labelled=True, held=(True,))])
    sum(losses.values()).backward()
    assert float(losses["some"].detach()) == 0 < float(losses["all"].detach())
    assert all(one.grad is None or not one.grad.any() for one in both.members["some"].parameters())
    assert float(both.losses([columns(n=6, labelled=True, held=(False,))])["some"].detach()) > 0


def test_posteriors_sum_to_one_and_hold_nothing_impossible():
    field = columns(AtomContext("WSe2", (), 80.0, 30.0, RINGS))
    role_logits, element_logits, _ = answers("attention", field)
    role, joint = posterior(role_logits, element_logits, field.allowed.numpy())
    assert role.sum(axis=1) == pytest.approx(1.0)
    assert joint.sum(axis=2) == pytest.approx(role)
    assert (role[:, 2] == 0).all()
    assert (role[:, [0, 1, 3, 4, 5]] > 0).all()
    assert (joint[:, ~field.allowed.numpy()] == 0).all()


def test_a_higher_temperature_flattens_roles_and_elements():
    rng = np.random.default_rng(0)
    logits = 4 * rng.standard_normal((6, 6)), 4 * rng.standard_normal((6, 20))
    can = encode(ALL, shipped_bank()).allowed
    cold, hot = (posterior(*logits, can, temperature=(t, t)) for t in (1.0, 4.0))
    assert (hot[0].max(axis=1) < cold[0].max(axis=1)).all()
    assert hot[1][:, 2].max(axis=1) / hot[0][:, 2] == pytest.approx(
        0.5 + 0.5 * np.abs(np.tanh(np.diff(logits[1][:, [1, 2]])[:, 0] / 8))
    )
