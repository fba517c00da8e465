import { type Behaviour, type ProviderName, providerNames } from './behaviour.ts';
import type { Counts } from './control.ts';
import type { Reply } from './http.ts';
import type { Received } from './received.ts';

const REFRESH_S = 3;

/** The page for people: figures, behaviour, and the latest messages, newest first. One plain document. */
export function page(
  records: readonly Received[],
  counts: Counts,
  behaviours: Readonly<Record<ProviderName, Behaviour>>,
): Reply {
  const figures = providerNames.map((name) => {
    const { sends, accepted, rejected, unauthorised, throttled, failed, hung, callbacks } = counts[name];
    const { latencyMs, failureRate, throttleRate, down } = behaviours[name];
    return row([
      name + (down ? ' (down)' : ''),
      ...[sends, accepted, rejected, unauthorised, throttled, failed, hung],
      `${callbacks.sent} / ${callbacks.pending} / ${callbacks.failed + callbacks.dropped}`,
      `${latencyMs} ms, ${failureRate} failed, ${throttleRate} throttled`,
    ]);
  });
  const latest = records
    .toReversed()
    .map(({ seq, at, provider, outcome, to, text, dispatchId }) =>
      row([seq, new Date(at).toISOString(), provider, outcome, to, text, dispatchId ?? '']),
    );
  const body = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="${REFRESH_S}">
<title>Parley sandbox</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2rem; }
table { border-collapse: collapse; margin: 0 0 2rem; }
th, td { text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #ddd; vertical-align: top; }
td { overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>Parley sandbox</h1>
${table(
  [
    'Provider',
    'Sends',
    'Accepted',
    'Rejected',
    'Unauthorised',
    'Throttled',
    'Failed',
    'Hung',
    'Callbacks sent / pending / lost',
    'Behaviour',
  ],
  figures,
)}
<h2>Latest messages</h2>
${latest.length === 0 ? '<p>Nothing has arrived yet.</p>' : table(['#', 'At', 'Provider', 'Outcome', 'To', 'Text', 'Dispatch'], latest)}
</body>
</html>
`;
  return { status: 200, type: 'text/html; charset=utf-8', body };
}

function table(heads: readonly string[], rows: readonly string[]): string {
  const head = heads.map((text) => `<th scope="col">${escapeHtml(text)}</th>`).join('');
  return `<table><thead><tr>${head}</tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table>`;
}

function row(cells: readonly (string | number)[]): string {
  return `<tr>${cells.map((cell) => `<td>${escapeHtml(String(cell))}</td>`).join('')}</tr>`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
