import type { HttpResponse, ServedModel, ServeHost } from '../../plugin/api.js';

/**
 * A page to try a model with, a form from its signature, and to see what the server does. It asks nobody but this server.
 * @param name Of the model; the first one by default.
 */
export function renderPage(host: ServeHost, name?: string): HttpResponse {
  const models = host.models();
  const model = models.find((each) => each.name === name) ?? models[0];
  const facts = {
    project: host.projectName,
    models: [...new Set(models.map((each) => each.name))],
    drift: models.some((each) => 'drift' in each && each.drift !== undefined),
    model: model && {
      name: model.name,
      version: model.version,
      ...describeRows(model),
    },
  };
  // Names come from data: nothing in them may end the script.
  const embedded = JSON.stringify(facts).replaceAll('<', String.raw`\u003c`);
  return {
    status: 200,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy':
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      vary: 'accept',
    },
    body: page.replace('"FACTS"', () => embedded),
  };
}

/** What the form asks for; a model without features is asked for its tensors, a row at a time. */
function describeRows({ signature, inputs }: ServedModel): object {
  if (signature) return { task: signature.task, target: signature.target.name, features: signature.features };
  const features = inputs.map(({ name, shape }) => ({
    name,
    type: 'array',
    shape: shape.slice(1).map((dim) => (typeof dim === 'number' ? dim : 1)),
  }));
  return { features };
}

const page = String.raw`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>maas</title>
<style>
:root { color-scheme: light dark; --line: #8884; --bar: #2563eb; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 60rem; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }
p, small { color: #777; margin: 0; overflow-wrap: anywhere; }
main { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); margin-top: 1.5rem; }
label { display: block; margin-bottom: .75rem; }
input, select, textarea, button { box-sizing: border-box; font: inherit; padding: .5rem; border: 1px solid var(--line); border-radius: .4rem; }
input, select, textarea { display: block; width: 100%; }
button { cursor: pointer; min-height: 2.75rem; padding-inline: 1rem; }
button.main { background: var(--bar); border-color: var(--bar); color: #fff; }
.result { font-size: 1.6rem; font-weight: 600; overflow-wrap: anywhere; }
.row { margin: .5rem 0; }
.row span { display: flex; justify-content: space-between; gap: 1rem; }
.track { background: var(--soft); border-radius: .3rem; height: .7rem; }
.fill { background: var(--bar); border-radius: .3rem; height: 100%; }
.drop { border: 2px dashed var(--line); border-radius: .4rem; padding: .75rem; }
.drop.over { border-color: var(--bar); }
.drop img { display: block; image-rendering: pixelated; margin-top: .75rem; max-height: 16rem; max-width: 100%; min-width: 4rem; }
.error { color: #c22; }
.tabs { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0 .5rem; }
.tabs button { border-color: transparent; background: none; }
.tabs button[aria-selected=true] { border-color: var(--line); background: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin-top: .5rem; }
nav a[aria-current] { font-weight: 600; text-decoration: none; color: inherit; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(14rem, 100%), 1fr)); margin: 2rem 0 1rem; }
figure { margin: 0; }
figcaption { display: flex; justify-content: space-between; gap: 1rem; }
svg { background: var(--soft); border-radius: .4rem; display: block; width: 100%; height: 5rem; }
polyline { fill: none; stroke: var(--bar); stroke-width: 2; vector-effect: non-scaling-stroke; }
pre { background: var(--soft); padding: .75rem; border-radius: .4rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; }
</style>
<h1 id="title"></h1>
<p id="about"></p>
<nav id="models" aria-label="Models"></nav>
<main>
  <form id="form"></form>
  <section aria-live="polite"><div id="answer"></div><div class="tabs" id="tabs" role="tablist"></div><pre id="code"></pre><button id="copy" type="button">Copy</button></section>
</main>
<section class="charts" id="charts" aria-label="Of the last two minutes"></section>
<p id="links"><a href="/openapi.json">OpenAPI</a> · <a href="/metrics">Metrics</a> · <a href="/v2">Open Inference Protocol</a></p>
<script>
'use strict';
const facts = "FACTS";
const $ = (id) => document.getElementById(id);
const make = (tag, props = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
};
const { model } = facts;
document.title = $('title').textContent = model ? model.name : facts.project;
$('about').textContent = model
  ? [
      facts.project !== model.name && facts.project,
      model.task && model.task + ' of ' + model.target,
      'version ' + model.version.slice(0, 12),
    ].filter(Boolean).join(' · ')
  : 'No model is loaded yet.';
if (facts.drift) $('links').append(' · ', make('a', { href: '/drift', textContent: 'Drift' }));
if (facts.models.length > 1) $('models').append(...facts.models.map((name) => {
  const link = make('a', { href: '?model=' + encodeURIComponent(name), textContent: name });
  if (name === model.name) link.setAttribute('aria-current', 'page');
  return link;
}));
const path = '/predict' + (model && model.name !== facts.models[0] ? '/' + encodeURIComponent(model.name) : '');
const zeros = ([size, ...rest]) => size === undefined ? 0 : Array.from({ length: size }, () => zeros(rest));
/** A file to choose or to drop; its value is a data URL. */
const imageField = (name) => {
  const input = make('input', { type: 'file', accept: 'image/*', required: true });
  const preview = make('img', { alt: '', hidden: true });
  const label = make('label', { className: 'drop' }, name, make('small', { textContent: ' drop an image here, or choose one' }), input, preview);
  const field = { name, type: 'image', input, url: '' };
  input.addEventListener('change', () => {
    const reader = new FileReader();
    reader.onload = () => {
      field.url = preview.src = reader.result;
      preview.hidden = false;
      showCode();
    };
    if (input.files[0]) reader.readAsDataURL(input.files[0]);
  });
  for (const kind of ['dragover', 'dragleave', 'drop']) label.addEventListener(kind, (event) => {
    event.preventDefault();
    label.classList.toggle('over', kind === 'dragover');
    if (kind !== 'drop' || event.dataTransfer.files.length === 0) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event('change'));
  });
  $('form').append(label);
  return field;
};
const fields = (model ? model.features : []).map((feature) => {
  const { name, type, min, max, categories, missing } = feature;
  let input;
  if (type === 'category' && categories && categories.length <= 200) {
    input = make('select', {}, ...categories.map((value) => make('option', { value, textContent: value })));
    if (missing) input.prepend(make('option', { value: '', textContent: 'not known' }));
  } else if (type === 'image') return imageField(name);
  else if (type === 'text') input = make('textarea', { rows: 3 });
  else if (type === 'category') input = make('input');
  else if (type === 'array') input = make('textarea', { value: JSON.stringify(zeros(feature.shape)) });
  else {
    const middle = min === undefined || max === undefined ? 0 : Number(((min + max) / 2).toPrecision(2));
    input = make('input', { type: 'number', step: 'any', required: !missing, value: middle });
  }
  const range = min === undefined || max === undefined ? '' : ' ' + min + ' to ' + max;
  $('form').append(make('label', {}, name, make('small', { textContent: range }), input));
  return { name, type, input, missing };
});
const valueOf = ({ type, input, url }) => {
  if (type === 'image') return url;
  return type === 'number' ? Number(input.value) : type === 'array' ? JSON.parse(input.value) : input.value;
};
const read = () => Object.fromEntries(
  fields
    .filter(({ input, missing }) => !missing || input.value !== '')
    .map((field) => [field.name, valueOf(field)]),
);
const fileOf = ({ input }) => input.files[0] ? input.files[0].name : 'image.png';
/** The request in a language: a row, or an image alone, which goes as it is. */
const languages = {
  curl: (url, row, file) => {
    const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
    return 'curl -s ' + url + ' -H ' + (file
      ? "'content-type: image/png' --data-binary " + quote('@' + file)
      : "'content-type: application/json' -d " + quote(row));
  },
  JavaScript: (url, row, file) => (file ? "import { readFile } from 'node:fs/promises';\n\n" : '') + [
    'const response = await fetch(' + JSON.stringify(url) + ', {',
    "  method: 'POST',",
    "  headers: { 'content-type': '" + (file ? 'image/png' : 'application/json') + "' },",
    '  body: ' + (file ? 'await readFile(' + JSON.stringify(file) + ')' : 'JSON.stringify(' + row + ')') + ',',
    '});',
    'console.log(await response.json());',
  ].join('\n'),
  Python: (url, row, file) => [
    'import json, urllib.request',
    '',
    'body = ' + (file ? 'open(' + JSON.stringify(file) + ', "rb").read()' : JSON.stringify(row) + '.encode()'),
    'headers = {"content-type": "' + (file ? 'image/png' : 'application/json') + '"}',
    'request = urllib.request.Request(' + JSON.stringify(url) + ', body, headers)',
    'print(json.load(urllib.request.urlopen(request)))',
  ].join('\n'),
};
let language = 'curl';
const showCode = () => {
  const [first, ...others] = fields;
  let row = {};
  try {
    row = read();
  } catch {
    // A list in the middle of being written.
  }
  for (const field of fields) if (field.type === 'image') row[field.name] = 'BASE64 OF ' + fileOf(field);
  const file = first && first.type === 'image' && others.length === 0 ? fileOf(first) : undefined;
  $('code').textContent = languages[language](location.origin + path, JSON.stringify(row), file);
  $('copy').textContent = 'Copy as ' + language;
};
for (const name of Object.keys(languages)) {
  const tab = make('button', { type: 'button', role: 'tab', textContent: name, ariaSelected: String(name === language) });
  tab.addEventListener('click', () => {
    language = name;
    for (const each of $('tabs').children) each.ariaSelected = String(each === tab);
    showCode();
  });
  $('tabs').append(tab);
}
const bar = (name, value) => make('div', { className: 'row' },
  make('span', {}, make('b', { textContent: name }), (100 * value).toFixed(1) + ' %'),
  make('div', { className: 'track' }, Object.assign(make('div', { className: 'fill' }), { style: 'width:' + 100 * value + '%' })),
);
const show = (...parts) => $('answer').replaceChildren(...parts);
async function predict(event) {
  event.preventDefault();
  showCode();
  const start = performance.now();
  try {
    const response = await fetch(path, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(read()),
    });
    const took = make('p', { textContent: (performance.now() - start).toFixed(1) + ' ms' });
    const body = await response.json();
    if (!response.ok) return show(make('p', { className: 'error', textContent: body.error }));
    const bars = Object.entries(body.probabilities || {}).sort((a, b) => b[1] - a[1]).map(([name, value]) => bar(name, value));
    const known = body.label === undefined ? body.prediction : body.label;
    const result = known === undefined ? JSON.stringify(body) : known;
    show(make('div', { className: 'result', textContent: String(result) }), ...bars, took);
  } catch (error) {
    show(make('p', { className: 'error', textContent: String(error) }));
  }
}
if (model) $('form').append(make('button', { className: 'main', textContent: 'Predict' }));
$('form').addEventListener('submit', predict);
$('form').addEventListener('input', showCode);
$('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText($('code').textContent);
    $('copy').textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren($('code'));
    $('copy').textContent = 'Selected: copy it by hand';
  }
});
showCode();

/** What the server counts, summed over what a label tells apart. */
const sumOf = (text, name) => [...text.matchAll(new RegExp('^' + name + '(?:\\{[^\\n]*\\})? (\\S+)$', 'gm'))]
  .reduce((sum, match) => sum + Number(match[1]), 0);
const [seconds, points] = [2, 60];
const charts = [
  { title: 'Requests a second', of: (more, passed) => more.requests / passed },
  { title: 'Latency, ms', of: (more) => more.requests > 0 ? 1000 * more.time / more.requests : undefined },
  { title: 'Rows in a run', of: (more) => more.runs > 0 ? more.rows / more.runs : undefined },
].map(({ title, of }) => {
  const picture = make('div', {
    innerHTML: '<svg viewBox="0 0 ' + (points - 1) + ' 20" preserveAspectRatio="none"><polyline /></svg>',
  });
  const line = picture.querySelector('polyline');
  const value = make('b', { textContent: '–' });
  $('charts').append(make('figure', {}, make('figcaption', {}, title, value), picture));
  const seen = [];
  return (more, passed) => {
    const now = of(more, passed);
    seen.push(now ?? 0);
    if (seen.length > points) seen.shift();
    const most = Math.max(...seen) || 1;
    line.setAttribute('points', seen.map((y, x) => (points - seen.length + x) + ',' + (19 - 18 * y / most)).join(' '));
    value.textContent = now === undefined ? '–' : now.toFixed(now < 10 ? 1 : 0);
  };
});
let before;
const look = async () => {
  const response = document.hidden ? undefined : await fetch('/metrics').catch(() => undefined);
  if (response && response.ok) {
    const text = await response.text();
    const now = {
      // What this page asks of the server itself is none of its work.
      requests: sumOf(text.replace(/^.*protocol="maas".*$/gm, ''), 'maas_requests_total'),
      time: sumOf(text.replace(/^.*protocol="maas".*$/gm, ''), 'maas_request_duration_seconds_sum'),
      rows: sumOf(text, 'maas_batch_rows_sum'),
      runs: sumOf(text, 'maas_batch_rows_count'),
      at: performance.now() / 1000,
    };
    if (before) for (const show of charts) show(
      Object.fromEntries(Object.keys(now).map((key) => [key, now[key] - before[key]])), now.at - before.at);
    before = now;
  }
  setTimeout(look, 1000 * seconds);
};
look();
</script>
</html>
`;
