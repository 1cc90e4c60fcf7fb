# One word for each daily task: `just` lists them.

python := ".venv/bin/python"

_default:
    @just --list

# Make the virtual environment with all that the tests need.
setup:
    python3 -m venv .venv
    .venv/bin/pip install -q -r requirements-dev.txt
    .venv/bin/pip install -q pre-commit==4.7.0 && .venv/bin/pre-commit install

# Serve on port 8000 and restart at each change.
run *options:
    .venv/bin/uvicorn main:app --reload {{options}}

# Run the whole suite, or the given files: `just test tests/routers/test_tasks.py`.
test *files:
    {{python}} -m pytest -q -n 2 {{files}}

# Run the tests that drive browsers, start many servers or fuzz.
test-thorough *files:
    {{python}} -m pytest -q -n 2 -m thorough {{files}}

# Change a file in small ways and show what its tests do not notice: `just mutants FILE TESTS`.
mutants *options:
    .venv/bin/pip install -q mutmut==3.8.1
    {{python}} -m benchmarks.mutants {{options}}

# Check style and types.
lint:
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .
    .venv/bin/mypy .

# Compare the pinned packages with the published advisories, and with their newest versions; this needs the internet.
audit:
    .venv/bin/pip install -q pip-audit==2.10.1
    .venv/bin/pip-audit --disable-pip --no-deps -r requirements.txt -r constraints.txt --ignore-vuln CVE-2024-23342
    .venv/bin/pip list --outdated

# Put the code into its usual form.
format:
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .

# Write a migration from what models.py says and the database lacks.
migration message:
    .venv/bin/alembic revision --autogenerate -m "{{message}}"

# Bring the database to the newest schema.
migrate:
    {{python}} create_tables.py

# Run all that a change has to pass, in a fresh environment; `just check thorough` runs every test.
check *which:
    bash .ci/run {{which}}
