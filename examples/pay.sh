#!/usr/bin/env bash
# Signs a payment, posts it, waits until it is decided. Takes only the environment of `onsettle serve`.
set -euo pipefail
api=http://${ONSETTLE_HOST:-127.0.0.1}:${ONSETTLE_PORT:-4021} key=${ONSETTLE_API_KEYS:-none}
curl() { command curl -sS --fail-with-body -H "Authorization: Bearer ${key%%,*}" "$@"; }

payment=$(${PYTHON:-.venv/bin/python} examples/sign.py)
answer=$(curl "$api/v1/payments" -H 'Content-Type: application/json' -d "$payment")
[[ $answer =~ \"id\":\ ?\"([^\"]+)\" ]] && id=${BASH_REMATCH[1]}

until [[ ${status:-} =~ completed|failed ]]; do
    sleep 1
    payment=$(curl "$api/v1/payments/$id")
    [[ $payment =~ \"status\":\ ?\"([^\"]+)\" ]] && status=${BASH_REMATCH[1]}
done
echo "$payment"
[[ $status = completed ]]
