import type { WriteStream } from 'node:tty';

/** A progress bar on one line. */
export interface ProgressLine {
  /** `share` from 0 to 1, and a text behind the bar. */
  show(share: number, text: string): void;
  /** Leaves the last state standing. */
  end(): void;
}

const width = 30;

/** Draws on a terminal in place; elsewhere prints a line for every tenth. */
export function progressLine(out: NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY'>>): ProgressLine {
  let tenth = -1;
  return {
    show(share, text) {
      const bounded = Math.min(1, Math.max(0, share));
      const filled = Math.round(bounded * width);
      const line = `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ${String(Math.floor(bounded * 100)).padStart(3)} %  ${text}`;
      if (out.isTTY) {
        out.write(`\r\x1b[K${line}`);
      } else if (Math.floor(bounded * 10) > tenth) {
        tenth = Math.floor(bounded * 10);
        out.write(`${line}\n`);
      }
    },
    end() {
      if (out.isTTY) out.write('\n');
    },
  };
}
