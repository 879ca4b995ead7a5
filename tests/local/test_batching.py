"""Which texts are computed together."""

from modelyard.inference.local.batching import TEXTS, TOKENS, Job, Queue


def job(*lengths: int) -> tuple[Job, list[Job]]:
    over: list[Job] = []
    return Job([[7] * length for length in lengths], over.append), over


def drain(queue: Queue) -> list[list[tuple[Job, int]]]:
    batches = []
    while (batch := queue.next()) is not None:
        batches.append(batch)
    return batches


def test_texts_of_like_length_go_together():
    queue = Queue()
    one, over = job(*[8] * 31, 256)
    queue.add(one)
    batches = drain(queue)
    assert [len(batch) for batch in batches] == [31, 1]
    assert batches[1] == [(one, 31)]
    for batch in batches:
        assert not over
        for owner, _ in batch:
            owner.count_down()
    assert over == [one]


def test_a_batch_has_an_end():
    queue = Queue()
    queue.add(job(*[5] * 100)[0])
    queue.add(job(*[60] * 100)[0])
    queue.add(job(300)[0])
    batches = drain(queue)
    assert sum(map(len, batches)) == 201
    for batch in batches:
        longest = max(len(owner.rows[number]) for owner, number in batch)
        assert len(batch) <= TEXTS
        assert len(batch) * longest <= TOKENS or len(batch) == 1


def test_a_small_request_is_not_behind_a_large_one():
    queue = Queue()
    large, small = job(*[20] * 2000)[0], job(20)[0]
    queue.add(large)
    queue.add(small)
    first = queue.next() or []
    second = queue.next() or []
    assert (small, 0) in first + second


def test_what_nobody_wants_is_not_computed():
    queue = Queue()
    left, kept = job(*[9] * 500)[0], job(9)[0]
    queue.add(left)
    queue.add(kept)
    left.drop()
    assert drain(queue) == [[(kept, 0)]]
