/** Why an expression of a template cannot be read or evaluated; the evaluator adds the place. */
export class ExpressionError extends Error {}

/** What an expression asks for is known only once another resource has been deployed; it stays as it is written. */
export class UnresolvedError extends Error {}
