export { startOpenIdProvider } from "./openid-provider.ts";
export type { LocalOpenIdProvider, LocalSignInOptions } from "./openid-provider.ts";
export type { ForgeOptions } from "./openid-forge.ts";
export type {
  JsonValue,
  LocalActor,
  LocalClient,
  LocalHuman,
  LocalOpenIdProviderOptions,
  LocalResource,
  SigningAlgorithm,
} from "./openid-options.ts";
export { LOCAL_SIGN_IN } from "./openid-sign-in.ts";
export { startPostgres } from "./postgres.ts";
export type { LocalPostgres, LocalPostgresOptions, LocalStandbyOptions } from "./postgres.ts";
