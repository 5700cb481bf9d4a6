"""A Cognito user pool, and tokens of its users."""

import secrets

from e2e.emulator import REGION


class UserPool:
    """A user pool with one application and one user."""

    def __init__(self, cognito):
        self._cognito = cognito
        self._password = f"Aa1!{secrets.token_hex(12)}"
        self.id = cognito.create_user_pool(PoolName="sedano")["UserPool"]["Id"]
        self.issuer = f"https://cognito-idp.{REGION}.amazonaws.com/{self.id}"
        self.application = self._application()
        cognito.admin_create_user(UserPoolId=self.id, Username="ada", MessageAction="SUPPRESS")
        cognito.admin_set_user_password(
            UserPoolId=self.id, Username="ada", Password=self._password, Permanent=True,
        )

    def _application(self) -> str:
        answer = self._cognito.create_user_pool_client(
            UserPoolId=self.id, ClientName="app", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"],
        )
        return answer["UserPoolClient"]["ClientId"]

    def token(self, application: str | None = None) -> str:
        """The user's identity token for an application, its audience."""
        answer = self._cognito.admin_initiate_auth(
            UserPoolId=self.id, ClientId=application or self.application, AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": "ada", "PASSWORD": self._password},
        )
        return answer["AuthenticationResult"]["IdToken"]

    def token_for_another_application(self) -> str:
        return self.token(self._application())
