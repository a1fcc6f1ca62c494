/**
 * Schemas: of what passes over the API, as the part of JSON Schema (2020-12) that it takes. One and the same object is
 * in the OpenAPI document, and checks what comes.
 */

/** A schema, with the type of what it accepts. */
export interface Schema<Type = unknown> {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly minProperties?: number;
  readonly anyOf?: readonly Schema[];
  /** Never there: it says what `TypeOf` is. */
  readonly accepts?: Type;
}

export type TypeOf<S> = S extends Schema<infer Type> ? Type : never;
type Members = Readonly<Record<string, Schema>>;
type RecordOf<Required extends Members, Optional extends Members> =
  & { readonly [Name in keyof Required]: TypeOf<Required[Name]> }
  & { readonly [Name in keyof Optional]?: TypeOf<Optional[Name]> };

type Bounds<Names extends keyof Schema> = Pick<Schema, "description" | "default" | Names>;

export function text(
  bounds: Bounds<"minLength" | "maxLength" | "pattern" | "format"> = {},
): Schema<string> {
  return { type: "string", ...bounds };
}

export function whole(bounds: Bounds<"minimum" | "maximum"> = {}): Schema<number> {
  return { type: "integer", ...bounds };
}

export function number(bounds: Bounds<"minimum" | "maximum"> = {}): Schema<number> {
  return { type: "number", ...bounds };
}

export function flag(bounds: Bounds<never> = {}): Schema<boolean> {
  return { type: "boolean", ...bounds };
}

export function choiceOf<const Choice extends string>(
  choices: readonly Choice[],
  bounds: Bounds<never> = {},
): Schema<Choice> {
  return { type: "string", enum: choices, ...bounds };
}

export function arrayOf<Item>(
  items: Schema<Item>,
  bounds: Bounds<"minItems" | "maxItems"> = {},
): Schema<readonly Item[]> {
  return { type: "array", items, ...bounds };
}

export function orNull<Type>(schema: Schema<Type>): Schema<Type | null> {
  return { anyOf: [schema, { type: "null" }] };
}

/** An object with these members. What a caller sends has no others, what it is answered may have more one day. */
export function record<Required extends Members, Optional extends Members = Record<never, never>>(
  required: Required,
  optional?: Optional,
): Schema<RecordOf<Required, Optional>> {
  return {
    type: "object",
    properties: { ...required, ...optional },
    required: Object.keys(required),
  };
}

/** An object with any members of one kind. */
export function mapOf<Value>(values: Schema<Value>): Schema<Readonly<Record<string, Value>>> {
  return { type: "object", additionalProperties: values };
}

/** The same, which has no other members. */
export function closed<Type>(schema: Schema<Type>): Schema<Type> {
  return { ...schema, additionalProperties: false };
}

/** What is wrong with a value, and where: a JSON pointer. */
export interface Mistake {
  readonly pointer: string;
  readonly problem: string;
}

/** The first thing that is wrong with a value by a schema; null where it is as it has to be. */
export function mistakeIn(value: unknown, schema: Schema, pointer = ""): Mistake | null {
  const wrong = (problem: string): Mistake => ({ pointer, problem });
  if (schema.anyOf !== undefined) {
    const mistakes = schema.anyOf.map((each) => mistakeIn(value, each, pointer));
    // That it is not null either says nothing.
    return mistakes.includes(null) ? null : mistakes[0]!;
  }
  if (schema.type !== undefined && !isOfType(value, schema.type)) {
    return wrong(`it is not of type ${[schema.type].flat().join(" or ")}`);
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    return wrong(`it is none of ${schema.enum.join(", ")}`);
  }
  if (typeof value === "string") return textMistake(value, schema, wrong);
  if (typeof value === "number") {
    const { minimum = -Infinity, maximum = Infinity } = schema;
    return value < minimum || value > maximum
      ? wrong(`it is not between ${minimum} and ${maximum}`)
      : null;
  }
  if (Array.isArray(value)) return listMistake(value, schema, pointer);
  if (typeof value === "object" && value !== null) {
    return objectMistake(value as Readonly<Record<string, unknown>>, schema, pointer);
  }
  return null;
}

function isOfType(value: unknown, types: string | readonly string[]): boolean {
  return [types].flat().some((type) => {
    switch (type) {
      case "null":
        return value === null;
      case "integer":
        return Number.isSafeInteger(value);
      case "array":
        return Array.isArray(value);
      case "object":
        return typeof value === "object" && value !== null && !Array.isArray(value);
      case "boolean":
        return typeof value === "boolean";
      case "number":
        return typeof value === "number";
      default:
        return typeof value === "string";
    }
  });
}

function textMistake(
  value: string,
  { minLength = 0, maxLength = Infinity, pattern }: Schema,
  wrong: (problem: string) => Mistake,
): Mistake | null {
  // Lengths are of code points.
  const length = value.length < minLength || value.length > maxLength
    ? Array.from(value.slice(0, 2 * Math.min(maxLength, 1 << 20) + 2)).length
    : value.length;
  if (length < minLength) return wrong(`it is shorter than ${minLength} characters`);
  if (length > maxLength) return wrong(`it is longer than ${maxLength} characters`);
  if (pattern !== undefined && !new RegExp(pattern, "u").test(value)) {
    return wrong(`it does not match ${pattern}`);
  }
  return null;
}

function listMistake(
  value: readonly unknown[],
  { items, minItems = 0, maxItems = Infinity }: Schema,
  pointer: string,
): Mistake | null {
  if (value.length < minItems || value.length > maxItems) {
    return { pointer, problem: `it does not have ${minItems} to ${maxItems} entries` };
  }
  if (items === undefined) return null;
  for (const [index, item] of value.entries()) {
    const mistake = mistakeIn(item, items, `${pointer}/${index}`);
    if (mistake !== null) return mistake;
  }
  return null;
}

function objectMistake(
  value: Readonly<Record<string, unknown>>,
  { properties = {}, required = [], additionalProperties = true, minProperties = 0 }: Schema,
  pointer: string,
): Mistake | null {
  const missing = required.find((name) => !Object.hasOwn(value, name));
  if (missing !== undefined) return { pointer: under(pointer, missing), problem: "it is missing" };
  if (Object.keys(value).length < minProperties) return { pointer, problem: "it has no members" };
  for (const [name, member] of Object.entries(value)) {
    const schema = Object.hasOwn(properties, name) ? properties[name]! : additionalProperties;
    if (schema === true) continue;
    if (schema === false) return { pointer: under(pointer, name), problem: "it is not known" };
    const mistake = mistakeIn(member, schema, under(pointer, name));
    if (mistake !== null) return mistake;
  }
  return null;
}

/** RFC 6901, section 3. */
function under(pointer: string, name: string): string {
  return `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}
