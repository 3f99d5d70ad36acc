"""Jobs wait, run and end once, whoever dies."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from epistem.app.web.queue import Queue, Queued


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "queue.sqlite")


def taken(queue: Queue, worker: str = "w", lane: str = "quick") -> Queued:
    job = queue.take(worker, lane)
    assert job is not None
    return job


def test_jobs_of_one_room_are_taken_in_the_order_they_came(queue: Queue) -> None:
    ids = [queue.add("a", "detect", {}) for _ in range(3)]

    assert [taken(queue).id for _ in range(3)] == ids
    assert queue.take("w", "quick") is None


def test_rooms_take_turns_however_many_jobs_one_queues(queue: Queue) -> None:
    for _ in range(5):
        queue.add("greedy", "detect", {})
    queue.add("modest", "detect", {})

    assert [taken(queue).room for _ in range(3)] == ["greedy", "modest", "greedy"]


def test_a_lane_takes_its_own_jobs_only(queue: Queue) -> None:
    queue.add("a", "train", {}, lane="long")

    assert queue.take("w", "quick") is None
    assert taken(queue, lane="long").kind == "train"


def test_many_workers_take_each_job_once(queue: Queue) -> None:
    ids = [queue.add(f"room {i % 4}", "detect", {}) for i in range(40)]
    got: list[str] = []

    def work(name: str) -> None:
        while (job := queue.take(name, "quick")) is not None:
            got.append(job.id)
            queue.finish(job.id)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert sorted(got) == sorted(ids)


def test_a_job_whose_worker_died_is_tried_once_more_and_has_failed_the_second_time(queue: Queue) -> None:
    id = queue.add("a", "detect", {})
    taken(queue, "first")
    queue.released("first", "it died")
    assert queue.state_of(id) == "waiting"

    taken(queue, "second")
    queue.released("second", "it died")

    assert queue.of_room("a")[0].state == "failed"
    assert queue.of_room("a")[0].why == "it died"


def test_a_restarted_server_runs_again_what_was_running_and_counts_no_try(queue: Queue, tmp_path: Path) -> None:
    queue.add("a", "detect", {"min_score": 0.3})
    taken(queue)

    again = Queue(tmp_path / "queue.sqlite")
    again.restart()

    (job,) = again.of_room("a")
    assert (job.state, job.tries, job.what) == ("waiting", 0, {"min_score": 0.3})


def test_what_was_cancelled_is_neither_finished_nor_failed_afterwards(queue: Queue) -> None:
    id = queue.add("a", "detect", {})
    taken(queue)

    assert queue.cancel(id, "a")
    assert queue.taken_back("w")
    queue.finish(id, {"n": 3})
    queue.fail(id, "late")

    assert queue.state_of(id) == "cancelled"
    queue.leave("w")
    assert not queue.taken_back("w")


def test_nobody_cancels_a_job_of_another_room(queue: Queue) -> None:
    id = queue.add("a", "detect", {})

    assert not queue.cancel(id, "b")
    assert queue.state_of(id) == "waiting"


def test_progress_and_result_are_told(queue: Queue) -> None:
    id = queue.add("a", "detect", {}, item="x")
    taken(queue)
    queue.tell(id, "Looking", 0.25)
    told = queue.of_room("a")[0]
    assert (told.state, told.words, told.share, told.item) == ("running", "Looking", 0.25, "x")

    queue.finish(id, {"n": 3})

    assert queue.of_room("a")[0].result == {"n": 3}
    assert not queue.is_busy("a")


def test_how_many_are_ahead_counts_the_own_lane(queue: Queue) -> None:
    queue.add("a", "train", {}, lane="long")
    queue.add("a", "detect", {})
    last = queue.add("b", "detect", {})

    assert queue.ahead(last) == 1


def test_of_an_image_only_the_last_done_job_stays_beside_those_under_way(queue: Queue) -> None:
    def ended(how: str) -> str:
        id = queue.add("a", "detect", {}, item="one")
        if how == "cancelled":
            queue.cancel(id, "a")
        else:
            queue.take("w", "quick")
            queue.finish(id) if how == "done" else queue.fail(id, "why")
        return id

    for how in ("done", "failed", "cancelled"):
        ended(how)
    last = ended("done")
    waiting, other = queue.add("a", "detect", {}, item="one"), queue.add("a", "detect", {}, item="two")
    elsewhere = queue.add("b", "detect", {}, item="one")
    queue.drop_ended("a", "detect", "one")
    assert [job.id for job in queue.of_room("a", kind="detect", item="one")] == [last, waiting]
    assert [job.id for job in queue.of_room("a")] == [last, waiting, other]
    assert [job.id for job in queue.of_room("b")] == [elsewhere]
    assert queue.waiting("a") == 2
