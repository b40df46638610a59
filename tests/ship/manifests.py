"""Reads YAML documents, prints them as a JSON array, and fails where one is nothing that Kubernetes would take.

With versions of Kubernetes as arguments (1.30 1.37): by its schemas, strictly, so that an unknown field is a mistake, too. Kinds that are not its own (those of
the Prometheus Operator) are let through. Without arguments any YAML will do.
"""

import json
import sys

import kubernetes_validate
import yaml

OTHERS = "monitoring.coreos.com/"

documents = [document for document in yaml.safe_load_all(sys.stdin) if document is not None]
wrong = False
for version in sys.argv[1:]:
    for document in documents:
        if document["apiVersion"].startswith(OTHERS):
            continue
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as why:
            wrong = True
            path = "/".join(str(step) for step in why.path)
            print(f"{document['kind']} {document['metadata']['name']}, {version}: {path}: {why.message}", file=sys.stderr)
if wrong:
    sys.exit(1)
json.dump(documents, sys.stdout)
