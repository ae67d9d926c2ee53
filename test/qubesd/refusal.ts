/** An exception that the double of qubesd answers with. */
export class Refusal extends Error {
  readonly type: string;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

/** An unexpected error in qubesd, which closes the connection without an answer. */
export class InnerFailure extends Error {}

/** Answers with this exception. */
export function refuse(type: string, message: string): never {
  throw new Refusal(type, message);
}
