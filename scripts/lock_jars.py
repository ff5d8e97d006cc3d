"""Write cnngraph/database/embedded/jars.txt: what the embedded server needs, resolved once by jgo (some minutes).

Run it after changing a version in ``cnngraph/database/embedded/jars.py``::

    .venv/bin/python scripts/lock_jars.py
"""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path

from jgo.env import EnvironmentBuilder
from jgo.maven import MavenContext

from cnngraph.database.embedded.jars import BROWSER_VERSION, GDS_GROUP, GDS_VERSION, NEO4J_VERSION

LIST = Path(__file__).parents[1] / "cnngraph" / "database" / "embedded" / "jars.txt"
GDS_ROOTS = ("proc", "proc-sysinfo", "opengds-extension", "open-model-catalog", "open-write-services")
ROOTS = (
    f"org.neo4j:neo4j:{NEO4J_VERSION}",
    f"org.neo4j.client:neo4j-browser:{BROWSER_VERSION}",
    *(f"{GDS_GROUP}:{artifact}:{GDS_VERSION}" for artifact in GDS_ROOTS),
)
HEADER = """\
# The embedded server's jars: group:artifact:version[:classifier] sha256 bytes
# Written by scripts/lock_jars.py; not to be edited by hand.
"""


def main() -> None:
    """Resolve the roots in an empty folder and write the list, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder, "repository"))
        EnvironmentBuilder(context=context, cache_dir=Path(folder, "environment")).from_endpoint("+".join(ROOTS))
        (lock,) = Path(folder, "environment").rglob("jgo.lock.toml")
        entries = tomllib.loads(lock.read_text(encoding="utf-8"))["dependencies"]
        lines = [_line(context, entry) for entry in entries if not entry.get("classifier", "").startswith("osx")]
    LIST.write_text(HEADER + "".join(f"{line}\n" for line in sorted(lines)), encoding="utf-8")
    print(f"{len(lines)} jars in {LIST}")


def _line(context: MavenContext, entry: dict[str, str]) -> str:
    group, artifact, version = entry["groupId"], entry["artifactId"], entry["version"]
    classifier = entry.get("classifier", "")
    file = context.project(group, artifact).at_version(version).artifact(classifier, "jar").resolve()
    coordinates = ":".join(filter(None, (group, artifact, version, classifier)))
    return f"{coordinates} {entry['sha256']} {file.stat().st_size}"


if __name__ == "__main__":
    main()
