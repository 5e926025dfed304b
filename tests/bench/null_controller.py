"""The yardstick: a controller that decides nothing. It watches Services and patches a sequential IP into each new one.

Run as its own process: ``python -m tests.bench.null_controller KUBECONFIG NAMESPACE``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys

from kubernetes_asyncio import client, config


async def main(kubeconfig: str, namespace: str) -> None:
    await config.load_kube_config(kubeconfig)
    async with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        listed = await core.list_namespaced_service(namespace)
        addresses = (f"10.200.{n // 250}.{n % 250 + 1}" for n in itertools.count())
        print("ready", flush=True)
        response = await core.list_namespaced_service(
            namespace,
            watch=True,
            resource_version=listed.metadata.resource_version,
            _preload_content=False,
            _request_timeout=600,
        )
        pending = b""
        async for chunk in response.content.iter_any():
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                event = json.loads(line)
                service = event["object"]
                if event["type"] != "ADDED" or service["spec"].get("type") != "LoadBalancer":
                    continue
                status = {"loadBalancer": {"ingress": [{"ip": next(addresses), "ipMode": "VIP"}]}}
                await core.patch_namespaced_service_status(
                    service["metadata"]["name"],
                    namespace,
                    {"status": status},
                    _content_type="application/merge-patch+json",
                    _preload_content=False,
                )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
