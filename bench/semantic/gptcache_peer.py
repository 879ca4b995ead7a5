"""GPTCache as its documentation sets it up, over vectors that were computed before.

Runs in GPTCache's own environment: ``python gptcache_peer.py FOLDER``; prints JSON.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from gptcache import Cache, Config
from gptcache.adapter.api import get, put
from gptcache.manager import CacheBase, VectorBase, get_data_manager
from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation

THRESHOLDS = (0.8, 0.9, 0.95, 0.98)  # 0.8 is its default


def main(folder: Path) -> None:
    """Keep, ask, count."""
    given = json.loads((folder / "pairs.json").read_text())
    values = np.load(folder / "vectors.npy")
    vectors = dict(zip(given["texts"], values, strict=True))
    base = CacheBase("sqlite", sql_url=f"sqlite:///{folder}/cache.db")
    manager = get_data_manager(base, VectorBase("faiss", dimension=values.shape[1]))
    cache = Cache()
    cache.init(
        pre_embedding_func=lambda data, **_: data["prompt"],
        embedding_func=lambda text, **_: vectors[text],
        data_manager=manager,
        similarity_evaluation=SearchDistanceEvaluation(),
        config=Config(similarity_threshold=THRESHOLDS[0]),
    )
    for number, pair in enumerate(given["pairs"]):
        put(pair["origin"], str(number), cache_obj=cache)
    found = {}
    for threshold in THRESHOLDS:
        cache.config.similarity_threshold = threshold
        right = wrong = 0
        begun = time.process_time()
        for number, pair in enumerate(given["pairs"]):
            answer = get(pair["similar"], cache_obj=cache)
            right += answer == str(number)
            wrong += answer not in (None, str(number))
        took = (time.process_time() - begun) / len(given["pairs"]) * 1e3
        found[f"GPTCache, threshold {threshold}"] = {
            "right": right,
            "wrong": wrong,
            "missed": len(given["pairs"]) - right - wrong,
            "milliseconds": took,
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
