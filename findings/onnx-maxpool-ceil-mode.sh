#!/bin/sh
# MaxPool with ceil_mode: onnx infers another output size than onnxruntime computes, so that its full check refuses a
# model that runs. Needs python3 and pip; installs into a temporary folder. Exits non-zero if what is seen changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "onnx==1.23.2" "onnxruntime==1.32.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

print("onnx", onnx.__version__, "- onnxruntime", onnxruntime.__version__)


def model(shape):
    """Subsampling: kernel 1, stride 2, ceil_mode, on 8 x 8."""
    pool = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[1, 1], strides=[2, 2], ceil_mode=1)
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in (("x", [1, 1, 8, 8]), ("y", shape))
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(helper.make_graph([pool], "subsampling", [x], [y]), opset_imports=opset, ir_version=10)


inferred = onnx.shape_inference.infer_shapes(model(None)).graph.output[0].type.tensor_type.shape.dim
print("onnx infers", [size.dim_value for size in inferred])

true = model([1, 1, 4, 4])
session = onnxruntime.InferenceSession(true.SerializeToString(), providers=["CPUExecutionProvider"])
image = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
(found,) = session.run(None, {"x": image})
print("onnxruntime gives", list(found.shape), "equal to x[::2, ::2]:", bool((found == image[..., ::2, ::2]).all()))

onnx.checker.check_model(true)
try:
    onnx.checker.check_model(true, full_check=True)
    objected = False
except onnx.shape_inference.InferenceError as error:
    objected = True
    print("the full check says:", " ".join(str(error).split())[-70:])
seen = [size.dim_value for size in inferred] == [1, 1, 5, 5] and found.shape == (1, 1, 4, 4) and objected
raise SystemExit(0 if seen else "what was seen has changed")
PYTHON
