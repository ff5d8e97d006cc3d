"""Write a release's list of jars, cnngraph/database/embedded/jars*.txt, resolved once by jgo (some minutes).

Run it after changing a version in ``cnngraph/database/embedded/releases.py``::

    .venv/bin/python scripts/lock_jars.py default
    .venv/bin/python scripts/lock_jars.py latest
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from pathlib import Path

from jgo.env import EnvironmentBuilder
from jgo.maven import MavenContext

from cnngraph.database.embedded.jars import GDS_GROUP
from cnngraph.database.embedded.releases import RELEASES, Release

FOLDER = Path(__file__).parents[1] / "cnngraph" / "database" / "embedded"
HEADER = """\
# The embedded server's jars: group:artifact:version[:classifier] sha256 bytes
# Written by scripts/lock_jars.py; not to be edited by hand.
"""


def roots(release: Release) -> list[str]:
    """What the closure is made from."""
    return [
        f"org.neo4j:neo4j:{release.neo4j}",
        f"org.neo4j.client:neo4j-browser:{release.browser}",
        *(f"{GDS_GROUP}:{artifact}:{release.gds}" for artifact in release.gds_parts),
    ]


def main() -> None:
    """Resolve the roots in an empty folder and write the list, sorted."""
    release = RELEASES[sys.argv[1]]
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder, "repository"))
        builder = EnvironmentBuilder(context=context, cache_dir=Path(folder, "environment"))
        builder.from_endpoint("+".join(roots(release)))
        (lock,) = Path(folder, "environment").rglob("jgo.lock.toml")
        entries = tomllib.loads(lock.read_text(encoding="utf-8"))["dependencies"]
        lines = [_line(context, entry) for entry in entries if not entry.get("classifier", "").startswith("osx")]
    target = FOLDER / release.list
    target.write_text(HEADER + "".join(f"{line}\n" for line in sorted(lines)), encoding="utf-8")
    print(f"{len(lines)} jars in {target}")


def _line(context: MavenContext, entry: dict[str, str]) -> str:
    group, artifact, version = entry["groupId"], entry["artifactId"], entry["version"]
    classifier = entry.get("classifier", "")
    file = context.project(group, artifact).at_version(version).artifact(classifier, "jar").resolve()
    coordinates = ":".join(filter(None, (group, artifact, version, classifier)))
    return f"{coordinates} {entry['sha256']} {file.stat().st_size}"


if __name__ == "__main__":
    main()
