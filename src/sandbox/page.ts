import { type Behaviour, type ProviderName, providerNames } from './behaviour.ts';
import type { Counts } from './control.ts';
import type { Reply } from './http.ts';
import type { CaughtMail } from './mailbox.ts';
import type { Received } from './received.ts';

const REFRESH_S = 3;

/** The page for people: figures, behaviour, the latest mails and messages, newest first. One plain document. */
export function page(
  records: readonly Received[],
  counts: Counts,
  behaviours: Readonly<Record<ProviderName, Behaviour>>,
  mails: readonly CaughtMail[],
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
  const caught = mails.toReversed().map((mail) => {
    const { number, at, provider, from, to, cc, bcc, subject } = mail;
    const link = `<a href="/mails/${number}">${escapeHtml(subject === '' ? '(no subject)' : subject)}</a>`;
    const cells = [number, new Date(at).toISOString(), provider, from, [...to, ...cc, ...bcc].join(', ')];
    return row(cells, `<td>${link}</td>`);
  });
  return html(
    'Parley sandbox',
    `<h1>Parley sandbox</h1>
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
<h2>Latest mails</h2>
${caught.length === 0 ? '<p>No mail has arrived yet.</p>' : table(['#', 'At', 'Provider', 'From', 'To', 'Subject'], caught)}
<h2>Latest messages</h2>
${latest.length === 0 ? '<p>Nothing has arrived yet.</p>' : table(['#', 'At', 'Provider', 'Outcome', 'To', 'Text', 'Dispatch'], latest)}
`,
    `<meta http-equiv="refresh" content="${REFRESH_S}">`,
  );
}

/** The page of one mail. Its HTML stands in a frame that runs no script and loads nothing from anywhere. */
export function mailPage(mail: CaughtMail): Reply {
  const facts: [name: string, value: string][] = [
    ['From', mail.from],
    ['To', mail.to.join(', ')],
    ['Cc', mail.cc.join(', ')],
    ['Bcc', mail.bcc.join(', ')],
    ['Reply-To', mail.replyTo ?? ''],
    ['Subject', mail.subject],
    ['Message-ID', mail.messageId ?? ''],
    ['At', new Date(mail.at).toISOString()],
    ['Provider', mail.provider],
  ];
  const rows = facts.filter(([, value]) => value !== '').map((fact) => row(fact));
  const policy = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">`;
  const frame =
    mail.html === null ? '' : `<h2>HTML</h2>\n<iframe sandbox srcdoc="${escapeHtml(policy + mail.html)}"></iframe>`;
  const text = mail.text === null ? '' : `<h2>Text</h2>\n<pre>${escapeHtml(mail.text)}</pre>`;
  return html(
    'Mail in the Parley sandbox',
    `<p><a href="/">Parley sandbox</a></p>
<h1>${escapeHtml(mail.subject === '' ? '(no subject)' : mail.subject)}</h1>
<table><tbody>
${rows.join('\n')}
</tbody></table>
${frame}
${text}
`,
  );
}

function html(title: string, body: string, head = ''): Reply {
  const document = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
${head}
<title>${escapeHtml(title)}</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2rem; }
table { border-collapse: collapse; margin: 0 0 2rem; }
th, td { text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #ddd; vertical-align: top; }
td, pre { overflow-wrap: anywhere; }
pre { white-space: pre-wrap; }
iframe { width: 100%; height: 60vh; border: 1px solid #ddd; background: #fff; }
</style>
</head>
<body>
${body}</body>
</html>
`;
  return { status: 200, type: 'text/html; charset=utf-8', body: document };
}

function table(heads: readonly string[], rows: readonly string[]): string {
  const head = heads.map((text) => `<th scope="col">${escapeHtml(text)}</th>`).join('');
  return `<table><thead><tr>${head}</tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table>`;
}

/** A row of texts; `more` is HTML of further cells. */
function row(cells: readonly (string | number)[], more = ''): string {
  return `<tr>${cells.map((cell) => `<td>${escapeHtml(String(cell))}</td>`).join('')}${more}</tr>`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
