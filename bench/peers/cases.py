"""What is compared with what: layers, shapes and their opponents."""

SHAPES = ["4,1024,512,512", "16,197,192,192", "2,3072,256,256", "2,3072,256,256,256", "1,64,64,64", "1,197,192,192",
          "1,1,512,512", "1,4,512,512", "1,16,512,512"]
QUICK_SHAPES = ["16,197,192,192", "1,64,64,64", "1,4,512,512", "64,100,100,128", "256,1,1000,128"]
COMPOSED_SHAPES = ["4,1024,512,512", "16,197,192,192", "1,64,64,64"]
# B,T,H,P[,s] of whole layers; B,n,m,P of a mean with a bias of each call, and of a layer that keeps its sources.
LAYERS = {"full": SHAPES, "simple": SHAPES, "local": SHAPES, "causal_full": COMPOSED_SHAPES,
          "causal_simple": COMPOSED_SHAPES, "causal_local": COMPOSED_SHAPES, "conv": COMPOSED_SHAPES,
          "wkv": COMPOSED_SHAPES, "given": ["64,100,100,128", "32,1000,1000,128", "1,1000,1000,128"],
          "kept": ["256,1,1000,128"]}
TAKING_BIAS = ("given", "kept")
TRAINED = ("full", "simple", "local", "causal_full", "causal_simple", "causal_local")
TRAINED_SHAPES = ["4,1024,512,512", "16,197,192,192", "2,3072,256,256", "1,197,192,192", "1,64,64,64"]
WINDOWS = {"local": 32, "causal_local": 32, "conv": 4}  # of a shape without one
FORMS = {"local": ["dense", "banded"], "causal_full": ["dense", "blocked"], "causal_local": ["dense", "banded"],
         "wkv": ["recurrent", "associative"]}
AS_ON_INTEL = "PyTorch as on Intel"  # its MKL keeps to AVX2 on CPUs of other makers
PYTORCH = ("PyTorch", AS_ON_INTEL)
EXTENTS = ("batch", "seq", "hidden", "projected", "window")
CALL_EXTENTS = ("batch", "seq", "sources", "projected")


ROUNDING = ("PyTorch", "aft-pytorch", "OpenVINO")  # how peers begin that round results of products, not operands alone
IN_BFLOAT16 = ("autocast", "bfloat16")  # in PyTorch: the operands of products alone, or weights and input


def peers(layer):
    """(peer, library, form) of each opponent."""
    forms = FORMS.get(layer, ["dense"])
    names = {form: f", {form}" if len(forms) > 1 else "" for form in forms}
    for mode in ("eager", "compiled"):
        # AFTLocal makes its bias in Python, position by position: nothing to compile.
        if layer in ("full", "simple") or (layer, mode) == ("local", "eager"):
            yield f"aft-pytorch, {mode}", "PyTorch", f"aft-pytorch {mode}"
        for library in PYTORCH:
            for form in forms:
                yield f"{library}{names[form]}, {mode}", library, f"{form} {mode}"
    for library in ("JAX", "ONNX Runtime", "OpenVINO", "oneDNN", "OpenBLAS", "MKL"):
        for form in forms:
            # JAX and PyTorch have operators for it; the others would run a loop of their own.
            if form != "associative" or library == "JAX":
                yield library + names[form], library, form


def trained_peers(layer):
    """The same for a step of training."""
    for mode in ("eager", "compiled"):
        yield f"aft.torch, {mode}", "PyTorch", f"aft.torch training {mode}"
        if layer in ("full", "simple"):  # its AFTLocal makes a new parameter in each call, which isn't trained
            yield f"aft-pytorch, {mode}", "PyTorch", f"aft-pytorch training {mode}"
        for library in PYTORCH:
            yield f"{library}, {mode}", library, f"dense training {mode}"


def in_bfloat16(field):
    """The opponents of peers() or trained_peers() that multiply bfloat16, with sums in float32. PyTorch's products of
    it are oneDNN's, whatever its MKL runs. ONNX Runtime's CPU provider and the wheel of OpenBLAS have none."""
    for peer, library, form in field:
        if library == "PyTorch":
            kind, mode = form.rsplit(" ", 1)
            # aft.torch runs its kernels in bfloat16 under autocast.
            for storage in IN_BFLOAT16[:1] if kind.startswith("aft.torch") else IN_BFLOAT16:
                yield peer.replace(f", {mode}", f", {storage}, {mode}"), library, f"{kind} {storage} {mode}"
        elif library in ("JAX", "OpenVINO", "oneDNN", "MKL"):
            yield peer, library, f"{form} bfloat16"
