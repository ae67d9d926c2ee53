import type { Service } from '../../protocol/conversation.ts';

/** What the hostile agent does next. Bytes are in base64, so that a script is JSON. */
export type Step =
  /** Waits for a message of dom0. */
  | { readonly hear: string }
  /** Says these bytes, right or wrong, as often as it is told. */
  | { readonly say: string; readonly times?: number; readonly pause?: number }
  /** One byte at a time, so many milliseconds apart. */
  | { readonly drip: string; readonly pause: number }
  /** Answers Read, Open and Want with this file, as an honest agent does, until so many bytes are given. */
  | { readonly serve: string; readonly upTo: number }
  /** Lets this honest agent speak, until those of this service have said so many messages in this home. */
  | { readonly relay: string; readonly upTo: number }
  /** Takes Data as an honest agent does, for so many bytes or until the End. */
  | { readonly take: number | 'all' }
  /** After taking all: Stored as it should be, but for what is put in its place. */
  | { readonly confirm: { readonly bytes?: number; readonly sha256?: string } }
  /** Speaks to the log. */
  | { readonly grumble: string; readonly times?: number }
  /** Closes its standard output, and lives on. */
  | { readonly hangUp: true }
  /** Does nothing, takes nothing, and does not end when it is asked to. */
  | { readonly play: 'dead' }
  | { readonly end: number }
  | { readonly kill: NodeJS.Signals };

/** What is done in each service; in one that is not named, nothing until dom0 hangs up. */
export type Script = Partial<Record<Service, readonly Step[]>>;

/** In the storage VM's home: what the agent is to do, and what it noticed. */
export const SCRIPT_FILE = 'hostile-script.json';
export const NOTES_FILE = 'hostile-notes.jsonl';

/** In the same place: a byte for each message that the honest agents of a service were let say. */
export function saidFile(service: Service): string {
  return `hostile-said-${service}`;
}

/** A line of NOTES_FILE, written when the agent starts. */
export interface Notes {
  readonly pid: number;
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}
