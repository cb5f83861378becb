"""A consumer and a publisher at work with ocean.py, as its own guides have them work.

Runs in a Python of its own that has ``ocean-lib``. Reads what it needs as JSON from its
first argument and prints one JSON object: what each step returned. Nothing is judged here.
"""

from __future__ import annotations

import json
import sys
import time
import typing
from pathlib import Path


def _let_any_be_an_instance() -> None:
    """ocean.py checks types with isinstance, which ``typing.Any`` of Python 3.11 refuses."""
    kind = type(typing.Any)
    if kind is not type:
        kind.__instancecheck__ = lambda cls, value: True


_let_any_be_an_instance()

from eth_account import Account  # noqa: E402
from ocean_lib.example_config import get_config_dict  # noqa: E402
from ocean_lib.models.compute_input import ComputeInput  # noqa: E402
from ocean_lib.models.datatoken_base import TokenFeeInfo  # noqa: E402, F401
from ocean_lib.ocean.ocean import Ocean  # noqa: E402
from ocean_lib.ocean.util import to_wei  # noqa: E402

FINISHED_S = 150


class Session:
    """One publisher, one consumer, one provider."""

    def __init__(self, given: dict) -> None:
        config = get_config_dict(given["chain"])
        config["METADATA_CACHE_URI"] = given["provider"]
        config["PROVIDER_URL"] = given["provider"]
        config["DOWNLOADS_PATH"] = given["folder"]
        self.given = given
        self.ocean = Ocean(config)
        self.alice = Account.from_key(given["publisher"])
        self.bob = Account.from_key(given["consumer"])
        self.told: dict = {}

    def run(self) -> dict:
        self.publish()
        self.told["free"] = self.compute(self.environment(paid=False))
        self.told["paid"] = self.compute(self.environment(paid=True))
        self.told["again"] = self.reuse(self.environment(paid=True))
        self.told["after_expiry"] = self.renew(self.environment(paid=True))
        self.told["stopped"] = self.stop()
        self.told["download"] = self.download()
        return self.told

    # Publishing

    def publish(self) -> None:
        assets, sender = self.ocean.assets, {"from": self.alice}
        _, self.data_token, self.data = assets.create_url_asset(
            "rows", self.given["data_url"], sender, with_compute=True, compute_values=COMPUTE
        )
        algorithm = assets.default_metadata("count", sender, "algorithm")
        container = {"entrypoint": "sh $ALGO", **self.given["image"]}
        algorithm["algorithm"] = {
            "language": "sh",
            "format": "docker-image",
            "version": "0.1",
            "container": container,
        }
        _, self.algo_token, self.algo = assets.create_algo_asset(
            "count", self.given["algo_url"], sender, metadata=algorithm
        )
        service = self.data.services[1]
        service.add_publisher_trusted_algorithm(self.algo)
        self.data = assets.update(self.data, sender)
        for token in (self.data_token, self.algo_token):
            token.mint(self.bob.address, to_wei(10), sender)
        self.told["published"] = {
            "data": self.data.as_dictionary(),
            "algorithm": self.algo.as_dictionary(),
            "search": [ddo.did for ddo in assets.search("rows")],
            "resolved": assets.resolve(self.data.did).did,
        }

    # Computing

    def environment(self, *, paid: bool) -> dict:
        found = self.ocean.compute.get_c2d_environments(
            self.data.services[1].service_endpoint, 8996
        )
        return next(each for each in found if (float(each["priceMin"]) > 0) is paid)

    def inputs(self) -> tuple:
        return (
            ComputeInput(self.data, self.data.services[1]),
            ComputeInput(self.algo, self.algo.services[0]),
        )

    def pay(self, dataset, algorithm, environment: dict, seconds: int) -> tuple:
        if float(environment["priceMin"]) > 0:
            for token in (self.data_token, self.algo_token):
                self.ocean.OCEAN.approve(token.address, to_wei(1000), {"from": self.bob})
        datasets, algorithm = self.ocean.assets.pay_for_compute_service(
            datasets=[dataset],
            algorithm_data=algorithm,
            consume_market_order_fee_address=self.bob.address,
            tx_dict={"from": self.bob},
            compute_environment=environment["id"],
            valid_until=int(time.time()) + seconds,
            consumer_address=environment["consumerAddress"],
        )
        return datasets[0], algorithm

    def compute(self, environment: dict) -> dict:
        dataset, algorithm = self.pay(*self.inputs(), environment, 600)
        self.ordered = dataset.transfer_tx_id, algorithm.transfer_tx_id
        return self.start(dataset, algorithm, environment)

    def reuse(self, environment: dict) -> dict:
        dataset, algorithm = self.inputs()
        dataset.transfer_tx_id, algorithm.transfer_tx_id = self.ordered
        dataset, algorithm = self.pay(dataset, algorithm, environment, 60)
        orders = dataset.transfer_tx_id, algorithm.transfer_tx_id
        return self.start(dataset, algorithm, environment) | {
            "before": self.ordered,
            "orders": orders,
        }

    def renew(self, environment: dict) -> dict:
        """Order for a moment, let the time pass, and use the same orders again."""
        dataset, algorithm = self.pay(*self.inputs(), environment, 7)
        before = dataset.transfer_tx_id, algorithm.transfer_tx_id
        time.sleep(7.5)
        refused = self.refusal(dataset, algorithm, environment)
        dataset, algorithm = self.pay(dataset, algorithm, environment, 300)
        orders = dataset.transfer_tx_id, algorithm.transfer_tx_id
        return self.start(dataset, algorithm, environment) | {
            "before": before,
            "orders": orders,
            "refused": refused,
        }

    def refusal(self, dataset, algorithm, environment: dict) -> str:
        try:
            self.begin(dataset, algorithm, environment)
        except Exception as error:  # ocean.py raises many kinds
            return str(error)
        return ""

    def begin(self, dataset, algorithm, environment: dict) -> str:
        return self.ocean.compute.start(
            consumer_wallet=self.bob,
            dataset=dataset,
            compute_environment=environment["id"],
            algorithm=algorithm,
        )

    def start(self, dataset, algorithm, environment: dict) -> dict:
        job_id = self.begin(dataset, algorithm, environment)
        status = self.wait(job_id)
        service = self.data.services[1]
        results = {
            each["filename"]: self.result(job_id, each["index"]) for each in status["results"]
        }
        log = self.ocean.compute.compute_job_result_logs(
            self.data, service, job_id, self.bob, "algorithmLog"
        )
        return {
            "jobId": job_id,
            "status": status,
            "results": results,
            "log": [part.decode() for part in log],
        }

    def wait(self, job_id: str) -> dict:
        deadline = time.time() + FINISHED_S
        while True:
            status = self.status(job_id)
            if status.get("dateFinished") or time.time() > deadline:
                return status
            time.sleep(0.2)

    def status(self, job_id: str) -> dict:
        return self.ocean.compute.status(self.data, self.data.services[1], job_id, self.bob)

    def result(self, job_id: str, index: int) -> str:
        content = self.ocean.compute.result(
            self.data, self.data.services[1], job_id, index, self.bob
        )
        return content.decode()

    def stop(self) -> dict:
        environment = self.environment(paid=False)
        dataset, algorithm = self.pay(*self.inputs(), environment, 600)
        job_id = self.begin(dataset, algorithm, environment)
        service = self.data.services[1]
        stopped = self.ocean.compute.stop(self.data, service, job_id, self.bob)
        status = self.wait(job_id)
        deleted = self.ocean.compute._data_provider.delete_compute_job(
            self.data.did, job_id, service, self.bob
        )
        return {"stopped": stopped, "status": status, "deleted": deleted}

    # Downloading

    def download(self) -> dict:
        order = self.ocean.assets.pay_for_access_service(self.data, {"from": self.bob})
        transaction = order.transactionHash if hasattr(order, "transactionHash") else order
        text = transaction if isinstance(transaction, str) else transaction.hex()
        folder = self.ocean.assets.download_asset(self.data, self.bob, self.given["folder"], text)
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {path.name: path.read_text() for path in files}


COMPUTE = {
    "allowRawAlgorithm": False,
    "allowNetworkAccess": False,
    "publisherTrustedAlgorithms": [],
    "publisherTrustedAlgorithmPublishers": [],
}


if __name__ == "__main__":
    told = Session(json.loads(sys.argv[1])).run()
    sys.stdout.write(json.dumps(told, default=str) + "\n")
