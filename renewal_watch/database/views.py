"""Views with plain names, for people with psql; those for the sqlite3 shell are made by the first migration.

Both have the same columns. Times are the text that the tables hold; days are counted in UTC at the moment of the question.
"""

from __future__ import annotations

_TODAY = "((now() AT TIME ZONE 'UTC')::date - DATE '0001-01-01' + 1)"  # an ordinal: 1 is the first day of year 1


def _amount(field: str) -> str:
    """A field of an entry as a number, null where it is none."""
    text = f"t.entry::json ->> '{field}'"
    return f"CASE WHEN {text} ~ '^[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]{{1,3}})?$' THEN ({text})::numeric END"


FOR_PSQL = {
    "fleet": f"""
        SELECT e.name AS environment, n.provider_id AS id,
          t.entry::json ->> 'number' AS number,
          t.entry::json ->> 'current_status' AS status,
          t.entry::json ->> 'type' AS type,
          t.entry::json ->> 'country_code' AS country_code,
          t.entry::json ->> 'renewal_date' AS renewal_date,
          n.auto_renewal AS auto_renewal,
          {_amount("monthly_renewal_cost")} AS monthly_renewal_cost,
          {_amount("current_price")} AS current_price,
          t.entry::json ->> 'currency' AS currency,
          n.renews_on - {_TODAY} AS days_left,
          to_char(DATE '0001-01-01' + (n.renews_on - 1)::int, 'YYYY-MM-DD') AS renews_on,
          to_char(to_timestamp(a.missing_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS missing_since,
          t.entry::json AS entry
        FROM numbers n JOIN environments e ON e.id = n.environment_id JOIN entries t ON t.number_id = n.id
          LEFT JOIN absences a ON a.number_id = n.id""",  # noqa: S608 (own constants)
    "history": """
        SELECT e.name AS environment, n.provider_id AS id, n.number AS number, p.started_at AS seen_at,
          (SELECT max(b.started_at) FROM polls b
            WHERE b.environment_id = e.id AND b.outcome = 'ok' AND b.id < c.poll_id) AS not_yet_at,
          CASE WHEN c.is_listed AND NOT c.was_listed THEN 'listed again'
            WHEN c.is_listed THEN 'changed' ELSE 'unlisted' END AS what,
          c.fields::json AS fields
        FROM changes c JOIN numbers n ON n.id = c.number_id JOIN environments e ON e.id = n.environment_id
          JOIN polls p ON p.id = c.poll_id
        WHERE c.fields IS NOT NULL OR c.is_listed <> c.was_listed
        UNION ALL
        SELECT e.name, n.provider_id, n.number, p.started_at,
          (SELECT max(b.started_at) FROM polls b
            WHERE b.environment_id = e.id AND b.outcome = 'ok' AND b.id < n.first_poll_id), 'listed', NULL
        FROM numbers n JOIN environments e ON e.id = n.environment_id JOIN polls p ON p.id = n.first_poll_id""",
    "poll_log": """
        SELECT p.id, e.name AS environment, p.started_at, p.finished_at, p.outcome, p.error, p.numbers, p.invalid, p.changed
        FROM polls p JOIN environments e ON e.id = p.environment_id""",
    "outbox": """
        SELECT d.message_id, d.channel, d.state, d.created_at, d.attempts, d.next_attempt_at, d.last_error, d.sent_at,
          a.kind, CASE a.severity WHEN 0 THEN 'info' WHEN 1 THEN 'warning' ELSE 'critical' END AS severity,
          e.name AS environment, n.number, a.text
        FROM deliveries d JOIN delivery_alerts da ON da.delivery_id = d.id JOIN alerts a ON a.id = da.alert_id
          LEFT JOIN environments e ON e.id = a.environment_id LEFT JOIN numbers n ON n.id = a.number_id""",
}
