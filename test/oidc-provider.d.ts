/** The part of oidc-provider that the tests use: it brings no types. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http';

  type Context = {
    body: unknown;
    status: number;
    readonly oidc: {
      readonly client: unknown;
      readonly params: Readonly<Record<string, string | undefined>>;
      readonly provider: Provider;
    };
  };
  type Token = { readonly isValid: boolean; readonly expiration: number; scope?: string; save(): Promise<string> };
  type TokenKind = { find(value: string): Promise<Token | undefined>; new (content: object): Token };

  export default class Provider {
    constructor(issuer: string, configuration: object);
    readonly AccessToken: TokenKind;
    readonly ClientCredentials: TokenKind;
    callback(): (request: IncomingMessage, response: ServerResponse) => void;
    registerGrantType(name: string, run: (context: Context) => Promise<void>, parameters: readonly string[]): void;
    on(event: string, listen: (context: Context, error: unknown) => void): void;
  }
  export const errors: { readonly InvalidGrant: new (message: string) => Error };
}
