/** Templates, and rendering them (MessageJS sheet, sections 8 and 11). */
import fc from 'fast-check';
import t from 'tap';
import { event } from '../../schemas/index.ts';
import { renderTemplate, template } from '../../src/domain/template.ts';
import { given, stateAfter } from './given.ts';

const own = (name: string, value: unknown): Record<string, unknown> => JSON.parse(JSON.stringify({ [name]: value }));

const rendering: readonly (readonly [string, string, Record<string, unknown>, string])[] = [
  ['a value', 'Hello {{name}}!', { name: 'Ada' }, 'Hello Ada!'],
  ['every occurrence', '{{a}}{{a}}-{{a}}', { a: 'x' }, 'xx-x'],
  ['several names', '{{a}} {{b}}', { b: '2', a: '1' }, '1 2'],
  ['no value', 'Code {{code}}', {}, 'Code {{code}}'],
  ['one without a value before one with', '{{code}} {{name}}', { name: 'Ada' }, '{{code}} Ada'],
  ['extra values', 'Hi', { name: 'Ada' }, 'Hi'],
  ['spaces in the braces', '{{ name }}', { name: 'Ada' }, '{{ name }}'],
  ['case', '{{Name}}', { name: 'Ada' }, '{{Name}}'],
  ['any characters in a name', '{{a.b*c$ [x]}}', { 'a.b*c$ [x]': 'v' }, 'v'],
  ['a newline in a name', '{{a\nb}}', { 'a\nb': 'v' }, 'v'],
  ['unicode', '{{имя}} {{👩‍👩‍👧}}', { имя: 'Аня', '👩‍👩‍👧': '🎉' }, 'Аня 🎉'],
  ['the empty name', '{{}}', own('', 'v'), 'v'],
  ['a number', '{{n}}', { n: 1.5 }, '1.5'],
  ['zero', '{{n}}', { n: 0 }, '0'],
  ['booleans', '{{y}} {{n}}', { y: true, n: false }, 'true false'],
  ['null', '{{n}}', { n: null }, 'null'],
  ['an object', '{{o}}', { o: { a: [1, 'x'] } }, '{"a":[1,"x"]}'],
  ['an array', '{{o}}', { o: [1, null] }, '[1,null]'],
  ['an empty text', '[{{e}}]', { e: '' }, '[]'],
  ['a placeholder in a value', '{{a}} {{b}}', { a: '{{b}}', b: 'x' }, '{{b}} x'],
  ['half placeholders from two values', '{{a}}{{b}}', { a: '{{', b: 'c}}', c: 'no' }, '{{c}}'],
  ['$& and its like', '{{a}}', { a: "$& $1 $$ $` $' $<a>" }, "$& $1 $$ $` $' $<a>"],
  ['__proto__ that was not given', '{{__proto__}}', {}, '{{__proto__}}'],
  ['__proto__ that was given', '{{__proto__}}', own('__proto__', 'v'), 'v'],
  ['constructor', '{{constructor}} {{toString}}', {}, '{{constructor}} {{toString}}'],
  ['constructor that was given', '{{constructor}}', { constructor: 'v' }, 'v'],
  ['braces around', '{{{name}}}', { name: 'Ada' }, '{Ada}'],
  ['many braces around', '{{{{name}}}}', { name: 'Ada' }, '{{Ada}}'],
  ['an opening that closes nowhere', '{{ {{name}}', { name: 'Ada' }, '{{ Ada'],
  ['a placeholder in a placeholder', '{{x{{name}}y}}', { name: 'Ada', xAday: 'no' }, '{{xAday}}'],
  ['a name with braces', '{{a}}b}} {{c{{d}}', { 'a}}b': '1', 'c{{d': '2' }, '1 2'],
  ['only an opening', '{{name', { name: 'Ada' }, '{{name'],
  ['single braces', '{name}', { name: 'Ada' }, '{name}'],
  ['nothing', '', { name: 'Ada' }, ''],
  ['HTML', '<b>{{a}}</b>', { a: '<i>&' }, '<b><i>&</b>'],
];

t.test('rendering', async (t) => {
  for (const [what, content, variables, expected] of rendering) {
    t.equal(renderTemplate(content, variables), expected, what);
  }
});

t.test('a text between placeholders stays, whatever the values', async () => {
  const plain = fc.string({ unit: 'binary' }).filter((text) => !/[{}]/.test(text));
  fc.assert(
    fc.property(fc.array(fc.tuple(plain, plain, fc.string({ unit: 'binary' }))), (parts) => {
      const variables: Record<string, unknown> = Object.create(null);
      for (const [, name, value] of parts) variables[name] ??= value;
      const content = parts.map(([text, name]) => `${text}{{${name}}}`).join('');
      const expected = parts.map(([text, name]) => `${text}${variables[name]}`).join('');
      if (renderTemplate(content, variables) !== expected) throw new Error('not what was asked for');
    }),
  );
});

// What is quadratic would take hours with these, what is linear a moment: the file's time-out tells them apart.
t.test('a huge text', async (t) => {
  const million = 1_000_000;
  const variables = { name: 'Ada', longer: 'x', '{': 'brace' };
  for (const content of [
    '{'.repeat(million),
    '{{'.repeat(million),
    '{{name '.repeat(million),
    '}}{{'.repeat(million),
  ]) {
    t.equal(renderTemplate(content, { name: 'Ada', longer: 'x' }), content);
  }
  t.equal(renderTemplate('{{name}}'.repeat(million / 50), variables), 'Ada'.repeat(million / 50));
  t.throws(() => renderTemplate('{{name}}'.repeat(million), variables), { code: 'too-large' });
});

const ref = { workspace: 7, template: 5 };
const data = {
  ...ref,
  name: 'Welcome',
  connectorType: 'telegram',
  content: 'Hi {{name}}',
  variables: ['name'],
} as const;
const creation = { ...data, variables: ['name'] };
const created = event('TemplateCreated', creation);
const deleted = event('TemplateDeleted', ref);

t.test('the rules of templates', async (t) => {
  given(t, template)
    .when({ command: 'CreateTemplate', ...creation })
    .yields([created]);
  given(t, template, [created])
    .when({ command: 'CreateTemplate', ...creation })
    .yields('already-exists');
  given(t, template, [created])
    .when({ command: 'ChangeTemplate', ...ref, content: 'Ho' })
    .yields([event('TemplateChanged', { ...ref, content: 'Ho' })]);
  given(t, template, [created])
    .when({ command: 'DeleteTemplate', ...ref })
    .yields([deleted]);
  for (const past of [[], [created, deleted]]) {
    given(t, template, past)
      .when({ command: 'ChangeTemplate', ...ref, name: 'New' })
      .yields('template-not-found');
    given(t, template, past)
      .when({ command: 'DeleteTemplate', ...ref })
      .yields('template-not-found');
  }
});

t.test('only the fields given change', async (t) => {
  const fresh = stateAfter(template, [created]);
  t.match(fresh, { exists: true, isActive: true, ...data, createdAt: 1, updatedAt: 1 });
  t.strictSame(stateAfter(template, [created, event('TemplateChanged', { ...ref, content: 'Ho', isActive: false })]), {
    ...fresh,
    content: 'Ho',
    isActive: false,
    updatedAt: 2,
  });
  t.strictSame(stateAfter(template, [created, event('TemplateChanged', { ...ref, name: 'N', variables: [] })]), {
    ...fresh,
    name: 'N',
    variables: [],
    updatedAt: 2,
  });
  t.match(stateAfter(template, [created, deleted]), { exists: false, content: '' });
});
