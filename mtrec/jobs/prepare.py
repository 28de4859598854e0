"""`mtrec prepare`: schema check, split, fit on train only, encode; the bundle is named by the digest of log and configuration."""

import hashlib
import json
import logging
from collections.abc import Callable

from safetensors.torch import save_file

from mtrec.config import Config
from mtrec.data.bundle import KIND, Prepared
from mtrec.data.prepared import write_rows
from mtrec.data.split import Splitter
from mtrec.data.vectors import VectorFiles
from mtrec.features.feature_set import FeatureSet, column_types
from mtrec.features.state import load_state, read_state, save_state
from mtrec.jobs.rows import plan_rows
from mtrec.store import Bundle, sweep

__all__ = ["load_features", "prepare"]


def prepare(config: Config, progress: Callable[[str, int], None] = lambda stage, rows: None) -> Prepared:
    """Prepare the log of a configuration, or open what an earlier call made of the same log and sections.

    Args:
        progress: called with the pass ("fit", "encode") and the rows just done.
    """
    found, sections = plan_rows(config), config.sections_of_preparation()
    features, vectors = found.features, VectorFiles(config.features.vectors, found.files.schema)
    splitter, digest = Splitter(config.log, found.files.schema, config.seed), vectors.digest(found.digest)
    # Labels lie in the order of the tasks, which sorted keys do not tell.
    key = hashlib.sha256(json.dumps([digest, sections, list(config.tasks)], sort_keys=True).encode()).hexdigest()[:16]
    path = config.prepared_folder / key
    if not Bundle.is_complete(path):
        sweep(path.parent)
        features.take_vectors(vectors.read())
        log, history = found.rows(config, path.parent, progress)
        read = {*found.files.needed, *(found.plan.needed if found.plan else ())}
        if ignored := [name for name in found.columns.names if name not in read]:
            logging.getLogger("mtrec").info("Columns of the log that nothing reads: %s", ", ".join(ignored))
        many = [field.kind in ("multi", "sequence") for field in features.id_inputs] + [False] * len(features.vectors)
        with Bundle.create(path, KIND, replace=True) as bundle:
            kept = [name for name in config.columns_for_evaluation() if name in log.schema.names]
            links = found.links(config, bundle.path / "sessions")
            facts = write_rows(log, splitter, features, config.tasks, config.log, many, config.seed, bundle.path, progress, kept, links)
            save_file(save_state(features), bundle.path / "features.safetensors")
            bundle.meta["fields"] = [[field.name, field.table, features.table_sizes()[field.table]] for field in features.id_inputs]
            bundle.meta |= {"many": many, "number_names": [number.name for number in features.number_inputs]}
            bundle.meta |= {"rows": facts.rows, "tasks": facts.tasks, "sampling": facts.sampling, "types": list(column_types(log.schema).items())}
            bundle.meta |= {"digest": digest, "sections": sections, "kept": kept, "history": history.name if history else None}
    return Prepared(path)


def load_features(config: Config, prepared: Prepared) -> FeatureSet:
    """The fitted features of a prepared log."""
    features = FeatureSet.build(config.features, config.candidates(prepared.types))
    load_state(features, read_state(prepared.path / "features.safetensors"))
    features.eval()
    return features
