import { type EventData, event } from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';
import { DomainError } from './errors.ts';

/** What is known of a template. */
export interface TemplateState {
  readonly exists: boolean;
  readonly workspace: number;
  readonly template: number;
  readonly name: string;
  readonly connectorType: EventData<'TemplateCreated'>['connectorType'];
  readonly content: string;
  readonly variables: readonly string[];
  readonly isActive: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Commands of a template. */
export type TemplateCommand =
  | ({ readonly command: 'CreateTemplate' } & EventData<'TemplateCreated'>)
  | ({ readonly command: 'ChangeTemplate' } & EventData<'TemplateChanged'>)
  | { readonly command: 'DeleteTemplate'; readonly workspace: number; readonly template: number };

/** The rules of templates: a deleted one does not exist. */
export const template: Aggregate<TemplateState, TemplateCommand> = {
  initial: {
    exists: false,
    workspace: 0,
    template: 0,
    name: '',
    connectorType: 'whatsapp',
    content: '',
    variables: [],
    isActive: false,
    createdAt: 0,
    updatedAt: 0,
  },

  decide(state, command) {
    if (command.command === 'CreateTemplate') {
      if (state.exists) throw new DomainError('already-exists');
      const { command: _, ...data } = command;
      return [event('TemplateCreated', data)];
    }
    if (!state.exists) throw new DomainError('template-not-found');
    if (command.command === 'DeleteTemplate') {
      return [event('TemplateDeleted', { workspace: command.workspace, template: command.template })];
    }
    const { command: _, ...data } = command;
    return [event('TemplateChanged', data)];
  },

  evolve(state, happened) {
    switch (happened.type) {
      case 'TemplateCreated':
        return {
          ...state,
          ...happened.data,
          exists: true,
          isActive: true,
          createdAt: happened.at,
          updatedAt: happened.at,
        };
      case 'TemplateChanged': {
        const {
          name = state.name,
          content = state.content,
          variables = state.variables,
          isActive = state.isActive,
        } = happened.data;
        return { ...state, name, content, variables, isActive, updatedAt: happened.at };
      }
      case 'TemplateDeleted':
        return { ...state, exists: false, content: '' };
      default:
        return state;
    }
  },
};

/** No event can hold a text of more UTF-16 units than this: rendering stops here, before values multiply in memory. */
const maxRenderedUnits = 256 * 1024;

/**
 * Renders a template once, in a single pass (MessageJS sheet, section 11): a placeholder without a value stays as it is,
 * a value is inserted verbatim, names are taken literally (`{{ name }}` names " name "). Time is linear in the content:
 * at an opening only the lengths that names have are looked at, never the rest of the text. Throws `too-large`.
 */
export function renderTemplate(content: string, variables: Readonly<Record<string, unknown>>): string {
  let open = content.indexOf('{{');
  if (open < 0) return content;
  const lengths = nameLengths(variables);
  let text = '';
  let done = 0;
  while (open >= 0) {
    const start = open + 2;
    const length = lengthOfName(content, start, lengths, variables);
    if (length < 0) {
      open = content.indexOf('{{', open + 1);
      continue;
    }
    text += content.slice(done, open) + spellValue(variables[content.slice(start, start + length)]);
    if (text.length > maxRenderedUnits) throw new DomainError('too-large');
    done = start + length + 2;
    open = content.indexOf('{{', done);
  }
  return text + content.slice(done);
}

/** The different lengths of the names, rising. */
function nameLengths(variables: Readonly<Record<string, unknown>>): number[] {
  const lengths: number[] = [];
  for (const { length } of Object.keys(variables)) if (!lengths.includes(length)) lengths.push(length);
  return lengths.length > 1 ? lengths.sort((a, b) => a - b) : lengths;
}

/** Length of the shortest name that stands closed at `start`, -1 for none. */
function lengthOfName(
  content: string,
  start: number,
  lengths: readonly number[],
  variables: Readonly<Record<string, unknown>>,
): number {
  for (const length of lengths) {
    if (content.startsWith('}}', start + length) && Object.hasOwn(variables, content.slice(start, start + length)))
      return length;
  }
  return -1;
}

function spellValue(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'object' && value !== null) return JSON.stringify(value);
  return String(value);
}
