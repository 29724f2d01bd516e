#!/usr/bin/env python3
"""Prunes Kubernetes' published OpenAPI definitions to what Ferry's objects are made of.

    pip download --no-deps kubernetes-validate==1.20.0    # holds the definitions of Kubernetes 1.20 and before
    pip download --no-deps kubernetes-validate==1.37.0    # of 1.25 to 1.37
    prune.py .../kubernetes-json-schema/v1.20.0-local-strict/_definitions.json > v1.20.json

Keeps, of each definition that one of KINDS reaches, its properties, their types and what is required. Leaves out
descriptions and what only servers write.
"""
import json
import sys

KINDS = ["Namespace", "Secret", "ConfigMap", "PersistentVolumeClaim", "Service"]
ROOTS = {kind: f"io.k8s.api.core.v1.{kind}" for kind in KINDS}
ROOTS["Deployment"] = "io.k8s.api.apps.v1.Deployment"
ROOTS["Ingress"] = "io.k8s.api.networking.v1.Ingress"
SERVERS = {"status", "managedFields"}

document = json.load(open(sys.argv[1]))
definitions = document.get("definitions") or document["$defs"]
pruned = {}


def name_of(schema):
    return schema["$ref"].rsplit("/", 1)[1]


def types(schema):
    kinds = schema.get("type", "object")
    return sorted(kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null")


def prune(schema):
    """A type: {"ref"}, {"list"}, {"map"} or {"type"}."""
    if len(schema.get("allOf", [])) == 1:
        return prune(schema["allOf"][0])
    if "anyOf" in schema:
        schema = {"oneOf": [one for one in schema["anyOf"] if one.get("type") != "null"]}
        if len(schema["oneOf"]) == 1:
            return prune(schema["oneOf"][0])
    if "$ref" in schema:
        keep(name_of(schema))
        return {"ref": name_of(schema)}
    if "oneOf" in schema:
        return {"type": sorted({kind for one in schema["oneOf"] for kind in types(one)})}
    kinds = types(schema)
    if kinds == ["array"]:
        return {"list": prune(schema["items"])}
    if kinds == ["object"] and isinstance(schema.get("additionalProperties"), dict):
        return {"map": prune(schema["additionalProperties"])}
    return {"type": kinds}


def keep(name):
    if name in pruned:
        return
    schema = definitions[name]
    properties = schema.get("properties")
    if properties is None:
        pruned[name] = prune(schema)
        return
    pruned[name] = entry = {"properties": {}}
    for key in sorted(properties):
        if key not in SERVERS:
            entry["properties"][key] = prune(properties[key])
    required = [key for key in schema.get("required", []) if key not in SERVERS]
    if required:
        entry["required"] = required


for root in ROOTS.values():
    keep(root)
print(json.dumps({"kinds": ROOTS, "definitions": pruned}, sort_keys=True, separators=(",", ":")).replace('},"io.', '},\n"io.'))
