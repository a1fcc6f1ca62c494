/** Accounts file: opens what a gateway has kept, for the commands that show it. */
import { AccountStore } from "../../host/accounts/account_store.ts";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";
import { accountsPath } from "../../process/state_directory.ts";

/** @throws {AppError} with exit code 3 where there are no accounts that this user may read */
export async function openAccounts(
  { interfaceName, netns }: { readonly interfaceName: string; readonly netns?: string },
): Promise<AccountStore> {
  const path = accountsPath(interfaceName, netns);
  try {
    return await AccountStore.openToRead(path);
  } catch (error) {
    const reason = errorMessage(error);
    throw new AppError(
      `Cannot read the accounts in ${path}: ${reason}: a gateway on this interface keeps them while it runs, as root`,
      { exitCode: ExitCode.connect, cause: error },
    );
  }
}
